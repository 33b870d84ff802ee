"""What a record may hold of what an application recorded: types, limits and secrets."""
