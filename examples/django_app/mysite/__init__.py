"""A Django project whose requests are recorded; its records are of the service ``mysite``."""
