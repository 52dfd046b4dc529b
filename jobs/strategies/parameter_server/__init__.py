"""Asynchronous training: servers hold the variables, workers take train steps, a coordinator hands them out."""
