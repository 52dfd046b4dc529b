"""The versions of a model that a replica holds side by side, and how each runs."""
