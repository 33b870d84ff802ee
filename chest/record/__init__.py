"""What a record is, and how it is written down: its row, its id, its JSON, and the texts that it may hold."""
