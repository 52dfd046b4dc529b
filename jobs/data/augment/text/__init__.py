"""Augmentations of texts, one file each. A new one is one file and one line here."""

from jobs.data.augment.text.random_deletion import RandomDeletion
from jobs.data.augment.text.token_dropout import TokenDropout
from jobs.data.augment.text.word_swap import WordSwap

__all__ = ["RandomDeletion", "TokenDropout", "WordSwap"]
