"""Compression techniques, one file each. A new technique is one file and one line here."""

from jobs.techniques.prune import Prune
from jobs.techniques.quantize import Quantize
from jobs.techniques.technique import Technique

__all__ = ["Prune", "Quantize", "Technique"]
