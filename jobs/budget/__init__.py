"""Compression within a budget: which of a chain's techniques, with which values, keep a promise best."""
