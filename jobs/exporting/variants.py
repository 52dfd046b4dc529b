"""Makes a model's file in every variant, measures each on this host as it is served, and chooses one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jobs.exporting.forms import Variant
from jobs.runtime.measure import latency, logits_of, size
from jobs.runtime.runner import Runner
from jobs.techniques import Technique
from jobs.techniques.variants import variants

ROWS = 2_000  # validation rows each is judged on, spread evenly
SECONDS = 0.25  # each is timed for, twice
BETTER: dict[str, Callable[[Variant], tuple[float, ...]]] = {
    "fastest": lambda variant: (variant.p50_ms, variant.size_bytes),
    "smallest": lambda variant: (variant.size_bytes, variant.p50_ms),
    "most_accurate": lambda variant: (-variant.accuracy, variant.size_bytes),
}


def shaping_of(techniques: Sequence[Technique]) -> dict[str, list[Technique]]:
    """Return what shapes the file of each variant: the techniques that act on weights, and the variant's own."""
    kept = [technique for technique in techniques if not technique.shapes_file]
    return {name: [*kept, *own] for name, own in variants().items()}


def chosen(choose: str, files: dict[str, bytes], rows: Any) -> tuple[str, list[Variant]]:
    """Return the name of the best of `files`, by p50, bytes or accuracy on `rows`, and what was measured of all.

    Of equal ones it is the smaller. Each is timed twice, in turns, and the faster time of the two counts, so that a
    moment in which the host is busy decides nothing.
    """
    indices = np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).astype(np.int64)
    with tempfile.TemporaryDirectory(prefix="espalier-variants-") as scratch:
        paths = {name: Path(scratch) / f"{name}.tflite" for name in files}
        for name, path in paths.items():
            path.write_bytes(files[name])
        runners = {name: Runner(path) for name, path in paths.items()}
        times = [{name: latency(runner, rows, SECONDS) for name, runner in runners.items()} for _ in range(2)]
        answers = {name: logits_of(runner, rows, indices) for name, runner in runners.items()}
        sizes = {name: size(path) for name, path in paths.items()}
    first = next(iter(answers.values()))[0].argmax(1)
    found = [
        Variant(
            name=name,
            accuracy=float((logits.argmax(1) == true).mean()),
            agreement=float((logits.argmax(1) == first).mean()),
            rows=len(true),
            p50_ms=min(time[name]["p50_ms"] for time in times),
            p99_ms=min(time[name]["p99_ms"] for time in times),
            size_bytes=sizes[name]["size_bytes"],
            gzip_bytes=sizes[name]["gzip_bytes"],
        )
        for name, (logits, true) in answers.items()
    ]
    best = min(found, key=BETTER[choose])
    return best.name, [variant.model_copy(update={"chosen": variant is best}) for variant in found]
