"""Model parallelism: the layers of one model divided over workers (DTensor)."""
