"""Sweeps on a cluster that loses its second node, and prints what is told: run by test_sweep.py, with a folder."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from cluster.folder import Folder
from jobs.sweeping.driving import drive
from tests.jobs.sweeping.synthetic import plan_of
from tests.nodes import cluster_of_one

TRIALS = 6
SPACE = {"model.dropout": {"kind": "uniform", "low": 0.0, "high": 0.9}}
WITHIN = 1.5  # seconds after a trial ended, when the next one on the second node is under way


def main(root: Path) -> None:
    """Kill the node once a trial has ended: one that runs there is lost with it."""
    told: list[dict[str, Any]] = []
    with cluster_of_one(cpus=1, ESPALIER_SYNTHETIC="slow") as cluster:
        node = cluster.add_node(num_cpus=1)

        def kill() -> None:
            time.sleep(WITHIN)
            cluster.remove_node(node, False)

        def heard(event: dict[str, Any]) -> None:
            told.append(event)
            print(json.dumps(event), flush=True)
            if len(told) == 2:
                threading.Thread(target=kill, daemon=True).start()

        drive(plan_of(root, SPACE, TRIALS), Folder(str(root / "out")), heard)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
