"""A whole SIMULATED job on this machine: its directory, and its processes."""
