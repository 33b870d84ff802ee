"""``python -m chest``: the command ``chest``."""

from __future__ import annotations

from chest.cli.main import main

if __name__ == "__main__":
    main()
