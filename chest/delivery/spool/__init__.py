"""What waits on disk for a store that is down, and what no store takes."""
