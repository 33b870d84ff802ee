"""The boundary between the request's thread and the exporter's: a lock-free ring in a crash-safe file."""
