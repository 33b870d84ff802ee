"""What leaves a record and is no whole request: a part of one, and work that is none."""
