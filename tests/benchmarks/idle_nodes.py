"""`idle_nodes`: how soon an autoscaler lets the nodes of a gang go, and that it is asked for all of them at once."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.harness import Benchmark
from tests.benchmarks.processes import python
from tests.cluster.autoscaling.head import growing_from_one

IDLE = 6.0  # seconds a node may be idle before it goes, as the file of `ray up` says
NODES = 3
HEAD = "ray.head.default"  # what the provider of fake nodes calls it
TYPES: dict[str, dict[str, Any]] = {
    HEAD: {"resources": {"CPU": 1}, "max_workers": 0},
    "gpu": {"resources": {"CPU": 1, "GPU": 1, "object_store_memory": 200 * 2**20}, "max_workers": NODES},
}
LIMIT = {"max_workers": NODES, "head_node_type": HEAD}
GANG = f"""
import sys, time
import ray
from cluster.gang import Gang, Member, Role
from cluster.growth import asked_ahead
from cluster.resources import Resources
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR", namespace="team")
with asked_ahead("gang", [Resources(1, 1)] * {NODES}):
    gang = Gang.start("gang", {{"worker": Role({NODES}, Resources(1, 1))}}, Member)
    gang.stop()
print(time.time())
"""


class IdleNodes(Benchmark):
    """A gang of three on a cluster of none, whose autoscaler is Ray's own; its nodes are processes of this machine."""

    id = "idle_nodes"
    name = "seconds from when the nodes of a gang have been idle as long as they may to when the last is gone"
    unit = "s"
    better = "lower"
    target = 10.0
    pairs = 3

    def prepare(self, work: Path) -> None:
        """Remember where files go."""
        self.work = work
        self.scaled: list[list[str]] = []

    def ours(self) -> float:
        """Run a gang, and wait until its nodes are gone."""
        folder = Path(tempfile.mkdtemp(dir=self.work))
        with growing_from_one(folder, TYPES, LIMIT, idle_minutes=IDLE / 60) as head:
            ended = float(python("-c", GANG, head.address).output.splitlines()[-1])
            self.scaled.append(head.wait_until_gone())
            return time.time() - ended - IDLE

    def faults(self) -> Iterator[str]:
        """Yield when nodes were not added all at once, or others were."""
        for scaled in self.scaled:
            if [step for step in scaled if step.startswith("+")] != [f"+{NODES} gpu"]:
                yield f"the autoscaler did {', '.join(scaled)}; wanted {NODES} nodes by one request"
