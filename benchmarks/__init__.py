"""One question a file, each with its rivals in the same run."""
