"""What fine-tuning puts around the layers of a model, in workers alone."""
