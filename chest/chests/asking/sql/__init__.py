"""Questions as SQL, for every database: conditions, cubes and samples. No driver and no SQLAlchemy in here."""
