"""What can be done. Knows models and data; imports cluster, never pipelines."""
