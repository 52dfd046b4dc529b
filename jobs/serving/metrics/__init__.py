"""What is told of a served model while it answers: requests, predictions, and how far they drifted."""
