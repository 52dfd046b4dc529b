"""`structured_speed`: what removing half of the multiplications by structured pruning brings in LiteRT, row by row."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.environment import variables
from tests.benchmarks.harness import Benchmark
from tests.benchmarks.processes import ended, start

SCRIPT = "tests.benchmarks.references.shrunk"


class StructuredSpeed(Benchmark):
    """ResNet-20 on 32×32 images, one thread, one row at a time: rows a second by the median latency.

    Ours is `prune_structured` to half of the MACs, the reference the float file it was made of; both are run by the
    runner that replicas use.
    """

    id = "structured_speed"
    name = "ResNet-20 without half of its multiplications against the whole, LiteRT at batch 1"
    unit = "rows/s"
    better = "higher"
    target = 1.6

    def prepare(self, work: Path) -> None:
        """Make both files."""
        self.folder = work / "structured"
        self.folder.mkdir()
        process = start("-m", SCRIPT, json.dumps({"out": str(self.folder)}), environment=variables())
        output = ended(process, time.perf_counter()).output
        self.told: dict[str, dict[str, Any]] = json.loads(output.splitlines()[-1])

    def ours(self) -> float:
        """Run the smaller file."""
        return self._speed("half")

    def reference(self) -> float:
        """Run the whole one."""
        return self._speed("whole")

    def _speed(self, name: str) -> float:
        from jobs.runtime.measure import latency
        from jobs.runtime.runner import Runner
        from tests.benchmarks.pixels import Pixels

        return 1000 / latency(Runner(self.folder / f"{name}.tflite"), Pixels(), seconds=3.0)["p50_ms"]

    def faults(self) -> Iterator[str]:
        """Yield where a file does not answer as its model does, or more than half of the multiplications are left."""
        for name, told in self.told.items():
            if not told["kept"]:
                yield f"the file of the {name} model is {told['distance']} away from it"
        if self.told["half"]["macs"] > self.told["whole"]["macs"] / 2:
            yield f"{self.told['half']['macs']} of {self.told['whole']['macs']} multiplications are left"
