"""The file of a ring: its segments, its header, and the lines in them."""
