"""How many requests ended how, and how long they took: counted in memory that outlives the process."""
