"""Reads pretrained weights from files, as plain arrays by the names of our layers."""
