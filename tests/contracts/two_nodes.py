"""Trains under one strategy on a cluster of two nodes, and prints on which of them what ran: run by test_two_nodes.py.

Called with the fields of a strategy as JSON, a folder to work in and the folder of a data set. Each node has one CPU.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.recipe import TrainRecipe
from jobs.strategies import Strategy
from jobs.training import TrainWork
from tests.contracts.test_strategies import MODEL
from tests.nodes import cluster_of_one

HEAD = "node:__internal_head__"
MEMBER = re.compile(r"(\w+ \d+): pid (\d+) on .*")


class Idle:
    """Holds the head's CPU."""

    def held(self) -> None:
        return None


@dataclass(frozen=True)
class Where:
    """Does `work`, and leaves in `folder` which raylet started the process that does it."""

    work: Any
    folder: Path

    def __call__(self, engine: Any, keeper: Any) -> None:
        (self.folder / f"rank {keeper.rank}").write_text(str(os.getppid()))
        self.work(engine, keeper)


def parent_of(pid: str) -> int:
    """Return the process that started `pid`."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def trained(strategy: Strategy, root: Path, data: str) -> dict[str, int]:
    """Train, and return the raylet of every process that took part."""
    from jobs.strategies.ray_train import Group, run_group

    raylets: dict[str, int] = {}
    ranks = root / "ranks"
    ranks.mkdir()

    def heard(event: dict[str, Any]) -> None:
        for name, pid in (match.groups() for line in event.get("processes", []) if (match := MEMBER.match(line))):
            raylets[name] = parent_of(pid)

    recipe = TrainRecipe(epochs=2, batch_size=40, learning_rate=0.01)
    work = TrainWork(MODEL, recipe, strategy, Folder.parse(data), Folder.parse(str(root / "out")))
    group = Group(Where(work, ranks), strategy, "run", Folder.parse(str(root / "checkpoints")), retries=0, keep=1)
    run_remote(run_group, group, resources=Resources(), tell=heard)
    return raylets | {file.name: int(file.read_text()) for file in ranks.iterdir()}


def main(strategy: Strategy, root: Path, data: str) -> None:
    """Start the two nodes; one that holds a single process must hold it on the node that is not the head."""
    with cluster_of_one() as cluster:
        nodes = {"head": cluster.head_node, "other": cluster.add_node(num_cpus=1)}
        names = {node.all_processes["raylet"][0].process.pid: name for name, node in nodes.items()}
        if len(strategy.processes()) == 1:
            idle = ray.remote(num_cpus=1, resources={HEAD: 0.001})(Idle).remote()
            ray.get(idle.held.remote())
        raylets = trained(strategy, root, data)
        print(json.dumps({name: names[pid] for name, pid in raylets.items()}), flush=True)


if __name__ == "__main__":
    main(Strategy.choose(json.loads(sys.argv[1])), Path(sys.argv[2]), sys.argv[3])
