"""The bodies of responses: which are whole, and how the end of the others is seen."""
