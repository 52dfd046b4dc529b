"""`compress_scaling`: fine-tuning in a chain on two workers against one, each worker pinned to a core of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

from jobs.artifacts import Model
from tests.benchmarks.data_parallel import BATCH, EPOCHS, MODEL, RATE
from tests.benchmarks.data_parallel_scaling import TWO, DataParallelScaling
from tests.benchmarks.finished import artifact

SPARSITY = 0.5
WHOLE = f"""\
  whole:
    job: train
    data: data
    model: {json.dumps(MODEL)}
    batch_size: {BATCH}
    epochs: 1
"""
CHAIN = f"""\
  small:
    job: compress
    model: whole
    data: data
    techniques:
      - {{kind: prune, sparsity: {SPARSITY}, epochs: {EPOCHS}, batch_size: {BATCH}, learning_rate: {RATE}}}
      - {{kind: quantize, scheme: int8}}
    {TWO}
"""


class CompressScaling(DataParallelScaling):
    """Rows a second of ResNet-20 under pruning in the epochs after the first two; one thread and one core a worker."""

    id = "compress_scaling"
    name = "pruning in a chain on two pinned workers with data_parallel, against one pinned worker at the same batch"
    target = 1.6
    step = "small"
    phase = "prune"
    before = WHOLE
    measured = CHAIN

    def faults(self) -> Iterator[str]:
        """Yield where losses differ or lie apart, and what the last chain did not keep of its promises."""
        yield from super().faults()
        small = artifact(self.store, "speed", self.step, Model)
        yield from (f"{found.what} of {found.layer} is {found.measured}" for found in small.findings if not found.kept)
