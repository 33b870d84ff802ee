"""The exporter's time: a thread that takes records from the ring and brings them to every chest."""
