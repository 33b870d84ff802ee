"""``Recorder``: settings, ring, delivery and chests put together, for the life of each process."""
