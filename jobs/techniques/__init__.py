"""Compression techniques, one file each. A new technique is one file and one line here."""

from jobs.techniques.technique import Teaches, Technique

__all__ = ["Teaches", "Technique"]

Technique.found_in(
    {
        "distill": "jobs.techniques.distill",
        "factorize": "jobs.techniques.factorize",
        "prune": "jobs.techniques.prune",
        "prune_structured": "jobs.techniques.prune_structured",
        "quantize": "jobs.techniques.quantize",
        "share_weights": "jobs.techniques.share_weights",
    }
)
