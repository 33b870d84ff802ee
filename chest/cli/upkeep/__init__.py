"""Commands that change how a store is kept, and no record."""
