"""One question a file, each beside its rivals in the same run."""
