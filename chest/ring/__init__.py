"""The boundary between the request's thread and the delivery thread: a lock-free ring in a crash-safe file."""
