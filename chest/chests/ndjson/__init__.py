"""Files with one record a line."""
