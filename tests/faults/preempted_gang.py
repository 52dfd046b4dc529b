"""Trains with a parameter server on a cluster that loses its second node: run by test_preemption.py.

Called with a folder to work in and the folder of a data set. Prints what is told. Another node comes in the end.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.strategies import Strategy
from jobs.training import TrainWork
from tests.nodes import cluster_of_one, drain
from tests.rig import TINY, DoAfterEpoch

EPOCHS = 20
NAP = 1.5  # seconds between epochs, as long as the node is there
DEADLINE, LAST = 20, 3.0  # seconds the drained node has, and how long after the notice it is killed
HELD = {"cpus_per_worker": 0.5, "cpus_per_server": 0.5, "cpus_of_coordinator": 1.5}  # not all find room on the head


@dataclass(frozen=True)
class Nap:
    """Waits a little, unless the file `gone` is there."""

    gone: Path

    def __call__(self, epoch: int) -> None:
        if not self.gone.exists():
            time.sleep(NAP)


class Node:
    """The second node: drained after the first epoch, killed after the notice, and replaced."""

    def __init__(self, cluster: Cluster, gone: Path) -> None:
        self.cluster, self.gone = cluster, gone
        self.node = cluster.add_node(num_cpus=1)
        self.drained = False

    def heard(self, event: dict[str, Any]) -> None:
        """Act on what the training tells, and print it."""
        print(json.dumps({name: value for name, value in event.items() if name != "timing"}), flush=True)
        if "epoch" in event and not self.drained:
            self.drained = True
            drain(self.cluster, self.node, DEADLINE)
        elif "preemption" in event:
            threading.Timer(LAST, self.lose).start()
        elif "retry" in event:
            self.cluster.add_node(num_cpus=1)

    def lose(self) -> None:
        self.cluster.remove_node(self.node, False)
        self.gone.touch()


def main(root: Path, data: str) -> None:
    """Train, with no retries at all."""
    from jobs.strategies.ray_train import Group, run_group

    strategy = Strategy.choose({"kind": "parameter_server", "workers": 2, **HELD})
    recipe, model = TrainRecipe(epochs=EPOCHS, batch_size=100), ModelSpec.model_validate({"backbone": TINY})
    work = TrainWork(model, recipe, strategy, Folder.parse(data), Folder.parse(str(root / "out")))
    napping = DoAfterEpoch(work, 0, Nap(root / "gone"))
    group = Group(napping, strategy, "run", Folder.parse(str(root / "checkpoints")), 0, 100)
    with cluster_of_one(cpus=2) as cluster:
        run_remote(run_group, group, resources=Resources(), tell=Node(cluster, root / "gone").heard)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
