"""Who asked: the user, and the address of the client."""
