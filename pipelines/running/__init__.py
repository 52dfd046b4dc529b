"""What a run keeps account of while it runs."""
