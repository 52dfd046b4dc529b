"""Whether a file that was made answers as the float model it was made of: on real rows, logit by logit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from jobs.artifacts import Finding
from jobs.runtime.inputs import as_read
from jobs.runtime.measure import BATCH
from jobs.runtime.runner import Runner

ROWS = 256  # looked at
FOLDING = 1e-3  # what folded batch normalisation and another order of sums may come to
LEAST = 1e-6  # logits that are all the same have no size


def faithful(file: bytes, model: Any, rows: Any, drift: float) -> Finding:
    """Compare the logits of `file` with those of `model`, the Keras model that it was made of, on `rows`.

    The measure is the root mean square of the differences over that of the logits about their row's mean; `drift` is
    what quantization may add to what folding batch normalisation into convolutions and fusing operators may come to.
    """
    differences, sizes, agreed, seen = 0.0, 0.0, 0, 0
    indices = np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder) / "model").write_bytes(file)
        runner = Runner(path)
        for start in range(0, len(indices), BATCH):
            x, _ = rows.gather(indices[start : start + BATCH])
            found = runner.logits(x).astype(np.float64)
            wanted = np.asarray(model(as_read(x), training=False), np.float64)
            differences += float(np.square(found - wanted).sum())
            sizes += float(np.square(wanted - wanted.mean(1, keepdims=True)).sum())
            agreed += int((found.argmax(1) == wanted.argmax(1)).sum())
            seen += len(found)
    distance = float(np.sqrt(differences / max(sizes, LEAST)))
    return Finding(
        technique="convert",
        what=f"distance of the file's logits from the float model's on {seen:,} rows",
        promised=f"<= {FOLDING + drift:g}",
        measured=f"{distance:.3g}, and the same class for {agreed:,}",
        kept=distance <= FOLDING + drift,
    )
