"""Augmentations, one file each, by what they change. A new one is one file and one line in its package."""

from jobs.data.augment import image, text  # every kind is registered
from jobs.data.augment.augment import Augment, SpecialTokens, problems

__all__ = ["Augment", "SpecialTokens", "image", "problems", "text"]
