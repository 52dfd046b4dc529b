"""What is told of a run while it runs: metrics of its own, and those of what its steps tell."""
