"""What the parties of a job run: data owners, model providers and query clients."""
