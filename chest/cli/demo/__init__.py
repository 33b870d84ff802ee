"""The demonstration: a real shop under gunicorn, real requests, a killed worker, and what the store holds then."""
