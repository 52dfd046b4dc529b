"""Trains on a cluster that loses its second node, and prints what is told: run by test_preemption.py.

Called with a folder to work in, the folder of a data set, and `early` or `late`: when the second node comes. With
`sudden` it comes early and is killed without a notice, and one retry is allowed.
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
from tests.rig import TINY

EPOCHS = 14
STEP = 0.4  # seconds of a slow train step
DEADLINE, LAST = 20, 5.0  # seconds a drained node has, and how long after the notice it is killed


@dataclass(frozen=True)
class Slowly:
    """Does `work`, one train step at a time and slowly, while the file `slow` is there."""

    work: Any
    slow: Path

    def __call__(self, engine: Any, keeper: Any) -> None:
        ahead = keeper.ahead

        def one(left: int) -> int:
            if not self.slow.exists():
                return int(ahead(left))
            time.sleep(STEP)
            return 1

        keeper.ahead = one
        self.work(engine, keeper)


class Node:
    """The second node: it comes before the training or while one worker trains.

    It is drained once two train, and killed after the notice; a sudden one is killed then.
    """

    def __init__(self, cluster: Cluster, slow: Path, when: str) -> None:
        self.cluster, self.slow, self.sudden = cluster, slow, when == "sudden"
        self.workers, self.drained = 0, False
        self.node: Any = None
        if when != "late":
            self.come()

    def come(self) -> None:
        self.slow.touch()
        self.node = self.cluster.add_node(num_cpus=1)

    def heard(self, event: dict[str, Any]) -> None:
        """Act on what the training tells, and print it."""
        print(json.dumps({name: value for name, value in event.items() if name != "timing"}), flush=True)
        self.workers = event.get("workers", self.workers)
        if "epoch" in event and self.node is None:
            self.come()
        elif "epoch" in event and self.workers == 2 and not self.drained:
            self.drained = True
            if self.sudden:
                self.cluster.remove_node(self.node, False)
            else:
                drain(self.cluster, self.node, DEADLINE)
        elif "preemption" in event:
            threading.Timer(LAST, self.cluster.remove_node, [self.node, False]).start()
        elif event.get("workers") == 1 and self.drained:
            self.slow.unlink()


def main(root: Path, data: str, when: str) -> None:
    """Train elastically, with no retries unless the node goes suddenly."""
    from jobs.strategies.ray_train import Group, run_group

    slow = root / "slow"
    elastic = {"kind": "data_parallel", "workers": {"min": 1, "max": 2, "look_every": 1.0}}
    strategy, recipe = Strategy.choose(elastic), TrainRecipe(epochs=EPOCHS, batch_size=100)
    model, out = ModelSpec.model_validate({"backbone": TINY}), Folder.parse(str(root / "out"))
    work = Slowly(TrainWork(model, recipe, strategy, Folder.parse(data), out), slow)
    group = Group(work, strategy, "run", Folder.parse(str(root / "checkpoints")), int(when == "sudden"), 100)

    # A group that asks for the node that has just been lost asks again after five seconds, not after a minute.
    with cluster_of_one(RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S="5") as cluster:
        run_remote(run_group, group, resources=Resources(), tell=Node(cluster, slow, when).heard)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
