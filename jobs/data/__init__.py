"""Rows in: sources, preparation of images and text, Arrow shards, and feeding them to training."""
