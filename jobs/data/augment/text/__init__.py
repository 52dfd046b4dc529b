"""Augmentations of texts, one file each."""
