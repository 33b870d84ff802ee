"""Records of parts of a request, and of work that is not a request."""
