"""Architectures apart from the layers that make them: what they hold and multiply."""
