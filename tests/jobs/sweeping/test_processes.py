"""What trials' processes are given: the environment of processes that train, and a share of a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.environment import ALLOCATION
from jobs.sweeping.driving import drive
from jobs.sweeping.gate import GateKeeper, Result
from tests.jobs.sweeping.synthetic import Synthetic, plan_of

DROPOUT = {"model.dropout": {"kind": "uniform", "low": 0.0, "high": 0.9}}
LONG = 0.3  # seconds a trial takes, in which one too many would be seen
WAIT = 40.0  # seconds that a trial waits for those that should run beside it
TOGETHER = int(os.environ.get("ESPALIER_TOGETHER", "1"))
CLUSTER = """
import sys
from pathlib import Path
import ray
from cluster.environment import variables
from tests.jobs.sweeping.test_processes import swept

ray.init(address="local", num_cpus=4, num_gpus=1, include_dashboard=False, dashboard_port=int(sys.argv[2]),
         log_to_driver=False, runtime_env={"env_vars": variables() | {"ESPALIER_TOGETHER": sys.argv[4]}})
strategy = {"kind": "single", "cpus_per_worker": 0.5, "gpus_per_worker": float(sys.argv[3])}
swept(Path(sys.argv[1]), 6, strategy=strategy)
ray.shutdown()
"""


class Noting(Synthetic):
    """Notes of each trial when it ran, in which process, and what it was given."""

    def body(self, values: dict[str, Any], keeper: GateKeeper) -> Result:
        import ray

        begun = time.time()
        self.plan.data.write_bytes(f"{values['model.dropout']}.begun", b"")
        end = begun + WAIT
        while len(list(self.plan.data.path.glob("*.begun"))) < TOGETHER and time.time() < end:
            time.sleep(0.05)
        time.sleep(LONG)
        given = {name: os.environ.get(name) for name in ALLOCATION}
        note = {"begun": begun, "ended": time.time(), "gpus": ray.get_gpu_ids(), "environment": given}
        self.plan.data.write_bytes(f"{values['model.dropout']}.json", json.dumps(note).encode())
        return super().body(values, keeper)


def swept(root: Path, trials: int, **train: Any) -> None:
    """Sweep on the cluster this process is connected to."""
    plan = replace(plan_of(root, DROPOUT, trials, epochs=1, **train), runner=Noting)
    drive(plan, plan.checkpoints.child("out"), lambda event: None)


def notes(root: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in (root / "data").glob("*.json")]


def at_once(found: list[dict[str, Any]]) -> int:
    """Return the most trials that ran at one time."""
    return max(sum(bool(other["begun"] <= one["begun"] < other["ended"]) for other in found) for one in found)


@pytest.mark.cluster
def test_trials_allocate_memory_as_training_workers_do(ray_cluster: None, tmp_path: Path) -> None:
    swept(tmp_path, 2)
    assert [note["environment"] for note in notes(tmp_path)] == [ALLOCATION] * 2


@pytest.mark.cluster
def test_sweeps_at_once_run_their_own_trials(ray_cluster: None, tmp_path: Path) -> None:
    roots = [tmp_path / "one", tmp_path / "other"]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda root: swept(root, 3), roots))
    assert [len(notes(root)) for root in roots] == [3, 3]


@pytest.mark.cluster
@pytest.mark.parametrize(("share", "together"), [(0.5, 2), (0.33, 3)])
def test_as_many_trials_run_at_once_as_share_the_gpu(share: float, together: int, tmp_path: Path) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    subprocess.run(
        [sys.executable, "-c", CLUSTER, str(tmp_path), port, str(share), str(together)], check=True, timeout=120
    )
    found = notes(tmp_path)
    assert len(found) == 6
    assert at_once(found) == together
    assert all(len(note["gpus"]) == 1 for note in found)
