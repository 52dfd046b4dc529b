"""Serving with Ray Serve: replicas that hold the served file, and nothing of TensorFlow."""
