"""Starts Ray's worker processes in less time than Ray does."""
