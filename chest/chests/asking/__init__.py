"""What a readable chest is asked beside its records: conditions of every kind, and its two primitives, cube and sample."""
