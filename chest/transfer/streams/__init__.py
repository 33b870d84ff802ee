"""Records of a stream, taken on to a chest."""
