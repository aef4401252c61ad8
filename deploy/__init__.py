"""What an operator deploys; not part of any wheel."""
