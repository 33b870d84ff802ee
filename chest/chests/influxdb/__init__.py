"""InfluxDB, versions 1 and 2."""
