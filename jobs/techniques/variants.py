"""The forms a model's file can have without another training: what `choose` measures against each other."""

from __future__ import annotations

from jobs.techniques.quantize import Quantize
from jobs.techniques.technique import Technique


def variants() -> dict[str, list[Technique]]:
    """Return the techniques that make the file of each variant, by its name."""
    return {
        "float32": [],
        "float16": [Quantize(scheme="float16")],
        "dynamic": [Quantize(scheme="dynamic")],
        "int8": [Quantize(scheme="int8")],
    }
