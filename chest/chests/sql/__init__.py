"""Databases that are servers, by SQLAlchemy: PostgreSQL, MySQL and MariaDB."""
