"""The delivery thread's time: takes records from the ring and brings them to every chest."""
