"""Several models answering as one: each with its own layers and head, and what combines their logits."""

from jobs.models.ensemble.ensemble import joined, prefix

__all__ = ["joined", "prefix"]
