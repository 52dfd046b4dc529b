"""Shards on object stores: read while they are fetched, once a node."""
