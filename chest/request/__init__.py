"""The request's time: nothing in this room waits, logs, does I/O or raises into the application."""
