"""How a process ends: hooks, signals, and the last delivery."""
