"""The command ``chest``: one file a family of commands; each is loaded when it is called."""
