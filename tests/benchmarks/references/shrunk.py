"""Writes ResNet-20 as a LiteRT file, whole and without half of its multiplications; tells how both answer.

    python -m tests.benchmarks.references.shrunk '{"out": FOLDER}'

Prints JSON: the MACs of `whole` and `half`, and of each how far the file's logits are from the Keras model's. The
weights are seeded and not trained: what a layer takes does not depend on them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from jobs.convert import to_litert
from jobs.data.preprocess import ImagePixels
from jobs.judging.faithful import faithful
from jobs.models.model import ModelSpec, build, load_weights
from jobs.models.rewriting.rebuilding import macs_of, rebuilt
from jobs.techniques import Technique
from jobs.techniques.technique import Context
from tests.benchmarks.pixels import Pixels

TECHNIQUE = {"kind": "prune_structured", "keep": 0.5, "of": "macs", "multiple": 8}


def main() -> None:
    """Make both files."""
    out = Path(json.loads(sys.argv[1])["out"])
    spec = ModelSpec.model_validate({"backbone": {"kind": "resnet", "depth": 20}})
    whole = build(spec, ImagePixels(height=32, width=32, channels=3), 10)
    context = Context([], "image", labelled=lambda count: Pixels().gather(np.arange(count)))
    made = Technique.choose(TECHNIQUE).reshape(whole, context)
    half = rebuilt(whole, made.rewrites)
    load_weights(half, made.weights, "half")
    told: dict[str, Any] = {}
    for name, model in (("whole", whole), ("half", half)):
        file = to_litert(model)
        (out / f"{name}.tflite").write_bytes(file)
        found = faithful(file, model, Pixels(), 0.0)
        told[name] = {"macs": macs_of(model), "kept": found.kept, "distance": found.measured}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
