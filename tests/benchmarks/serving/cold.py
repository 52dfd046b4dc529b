"""`serve_cold`: how long a new replica takes, from its process's start to its first answer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.harness import Benchmark, Broken
from tests.benchmarks.serving.load import Asked
from tests.benchmarks.serving.servers import answer
from tests.benchmarks.serving.stand import Images

PATIENCE = 60.0


class ServeCold(Benchmark):
    """The only replica is killed; the next request waits for the one that takes its place."""

    id = "serve_cold"
    name = "from the start of a new replica's process to its first answer, ResNet-20 (int8)"
    unit = "s"
    better = "lower"
    limit = 3.0
    pairs = 3

    def prepare(self, work: Path) -> None:
        """Start our server."""
        self.images = Images(work)
        self.card = Asked(f"{self.images.ours()}/v1/model")
        self.versions = {answer(self.card)["version"]}

    def ours(self) -> float:
        """Kill the replica, and return the seconds from the start of the next one's process to its answer.

        Ray may have had the process ready: it counts from the kill then.
        """
        before = answer(self.card)["process"]
        os.kill(before, signal.SIGKILL)
        killed = time.time()
        while (card := answer(self.card))["process"] == before:
            if time.time() - killed > PATIENCE:
                raise Broken("no replica took the place of the one that was killed")
        self.versions.add(card["version"])
        return time.time() - max(killed, started(card["process"]))

    def faults(self) -> Iterator[str]:
        """Yield whether another version answered."""
        if len(self.versions) != 1:
            yield f"the versions that answered are {', '.join(sorted(self.versions))}"


def started(process: int) -> float:
    """Return when a process started, in seconds since 1970."""
    ticks = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - since_boot
