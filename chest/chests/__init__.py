"""The stores: one backend a file, each knowing the contract in ``base`` and nothing else."""
