"""`quantized_speed`: one image through ResNet-20 in its fastest quantized form, against its float32 LiteRT file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jobs.data.preprocess import ImagePixels
from jobs.runtime.measure import latency
from jobs.runtime.runner import Runner
from tests.benchmarks.harness import Benchmark

ROWS, SHAPE, CLASSES = 256, (32, 32, 3), 10
SECONDS = 2.0
FORMS = ("dynamic", "int8")
APART = 0.05  # of the float file's largest logit


class Noise:
    """Rows of noise, as `latency` takes them."""

    def __init__(self) -> None:
        self.x = np.random.default_rng(0).integers(0, 256, (ROWS, *SHAPE), dtype=np.uint8)

    def __len__(self) -> int:
        return ROWS

    def gather(self, indices: Any) -> tuple[Any, Any]:
        """Return the rows at `indices`, and that each is of the first class."""
        return self.x[indices], np.zeros(len(indices), np.int32)


class QuantizedSpeed(Benchmark):
    """Weights as they are drawn: how fast a file is does not depend on what it has learnt. One thread, batch 1."""

    id = "quantized_speed"
    name = "one image through ResNet-20, the faster of its dynamic and int8 files, against its float32 file, LiteRT"
    unit = "ms"
    better = "lower"
    target = 0.5

    def prepare(self, work: Path) -> None:
        """Make the files, as `compress` with `variant: fastest` does, and find the faster of the quantized ones."""
        from jobs.compressing import calibration_rows, lowered
        from jobs.exporting.variants import chosen, shaping_of
        from jobs.models.model import ModelSpec, build
        from jobs.techniques.technique import Context

        self.rows = Noise()
        spec = ModelSpec.model_validate({"backbone": {"kind": "resnet", "depth": 20}})
        model = build(spec, ImagePixels(height=SHAPE[0], width=SHAPE[1], channels=3), CLASSES)
        context = Context([], "image", calibration=lambda count: calibration_rows(self.rows, count))
        files = {name: lowered(model, shaping, context) for name, shaping in shaping_of([]).items()}
        fastest, _ = chosen("fastest", {name: files[name] for name in FORMS}, self.rows)
        self.runners = {}
        for name in ("float32", fastest):
            (work / f"{name}.tflite").write_bytes(files[name])
            self.runners[name] = Runner(work / f"{name}.tflite")
        self.fastest = fastest

    def ours(self) -> float:
        """Time the quantized file."""
        return latency(self.runners[self.fastest], self.rows, SECONDS)["p50_ms"]

    def reference(self) -> float:
        """Time the float file."""
        return latency(self.runners["float32"], self.rows, SECONDS)["p50_ms"]

    def faults(self) -> Iterator[str]:
        """Yield when the files answer otherwise."""
        wanted, found = (self.runners[name].logits(self.rows.x) for name in ("float32", self.fastest))
        apart = float(np.abs(found - wanted).max() / np.abs(wanted).max())
        if apart > APART:
            yield f"the {self.fastest} file's logits differ by {apart:.1%} of the largest"
