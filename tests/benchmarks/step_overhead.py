"""`step_overhead`: what a step costs beyond its work, with many of them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.harness import Benchmark
from tests.benchmarks.processes import python

FEW, MANY = 200, 2_000
LINEAR = 1.25  # times the milliseconds of a step among few, that one among many may take
MEMORY = 400.0  # megabytes of the driver


class StepOverhead(Benchmark):
    """A run of 200 steps that have a worker do nothing, on a warm local cluster; each is recorded as any step."""

    id = "step_overhead"
    name = "a trivial step of a run of 200 on a warm cluster: planned, leased, run in a worker, logged, recorded"
    unit = "ms"
    better = "lower"
    target = 20.0
    pairs = 3

    def prepare(self, work: Path) -> None:
        """Remember where stores go."""
        self.work = work
        self.few: list[float] = []
        self.memory: list[float] = []

    def ours(self) -> float:
        """Return the milliseconds of a step."""
        self.few.append(self._measured(FEW))
        return self.few[-1]

    def _measured(self, steps: int) -> float:
        ran = python("-m", "tests.benchmarks.many_steps", tempfile.mkdtemp(dir=self.work), str(steps))
        found = json.loads(ran.output.splitlines()[-1])
        self.memory.append(found["mb"])
        return float(found["ms"])

    def faults(self) -> Iterator[str]:
        """Yield when a step among 2,000 costs more than among 200, or the driver holds too much."""
        many = self._measured(MANY)
        if many > LINEAR * min(self.few):
            yield f"a step takes {many:.1f} ms among {MANY:,}, {min(self.few):.1f} ms among {FEW}"
        if max(self.memory) > MEMORY:
            yield f"the driver holds {max(self.memory):.0f} MB, over {MEMORY:.0f}"
