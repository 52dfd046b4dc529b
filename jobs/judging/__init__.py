"""Judging models by their served files: what runs them, what is measured of them, and what is required."""
