"""Synchronous training: every replica holds the whole model, and gradients are summed after every train step."""
