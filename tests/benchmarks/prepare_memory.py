"""`prepare_memory` and `prepare_memory_nodes`: the memory that preparing 20,000 images takes, against that of 2,000."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tests.benchmarks.harness import Benchmark
from tests.benchmarks.processes import python
from tests.jobs.data.making import jpeg

FEW, MANY = 2_000, 20_000


class PrepareMemory(Benchmark):
    """Peak of the anonymous resident memory: mapped spool files and the object store are the system's to drop."""

    id = "prepare_memory"
    name = "memory of the process that makes a data set of 20,000 images, against one of 2,000"
    unit = "MB"
    better = "lower"
    target = 1.2
    where: ClassVar[str] = "here"

    def prepare(self, work: Path) -> None:
        """Write small JPEG files, each under many names."""
        self.folder, self.rows = work / self.id, set[str]()
        for count in (FEW, MANY):
            write_images(self.folder / str(count), count)

    def ours(self) -> float:
        """Return the peak for the many."""
        return self._peak(MANY)

    def reference(self) -> float:
        """Return the peak for the few."""
        return self._peak(FEW)

    def _peak(self, count: int) -> float:
        ran = python("-m", "tests.jobs.data.intake.peak", str(self.folder / str(count)), self.where)
        rows, peak = ran.output.split()[-2:]
        self.rows.add(f"{count} {rows}")
        return float(peak)

    def faults(self) -> Iterator[str]:
        """Yield when rows were lost."""
        if self.rows != {f"{FEW} {FEW}", f"{MANY} {MANY}"}:
            yield f"rows asked for and made: {', '.join(sorted(self.rows))}"


class PrepareMemoryNodes(PrepareMemory):
    """The same when tasks of Ray Data prepare the images; the largest of all processes counts."""

    id = "prepare_memory_nodes"
    name = "memory of the largest process when Ray Data prepares 20,000 images, against 2,000"
    where = "spread"


def write_images(folder: Path, count: int, each: int = 50) -> None:
    """Fill `folder` with `count` JPEG files in two classes, of `each` contents by turns."""
    for number in range(count):
        place = folder / ("cat", "dog")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        file = place / f"{number:06}.jpg"
        if number < each:
            file.write_bytes(jpeg(number, 64, 48))
        else:
            same = number % each
            os.link(folder / ("cat", "dog")[same % 2] / f"{same:06}.jpg", file)
