"""Compression techniques, one file each. A new technique is one file and one line here."""

from jobs.techniques.distill import Distill
from jobs.techniques.prune import Prune
from jobs.techniques.quantize import Quantize
from jobs.techniques.technique import Teaches, Technique

__all__ = ["Distill", "Prune", "Quantize", "Teaches", "Technique"]
