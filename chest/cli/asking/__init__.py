"""The commands that ask, one a file; the questions and answers are those of ``chest.query``."""
