"""Trials that train in groups of workers: several at once find room, and nothing of those that were stopped stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from jobs.sweeping.driving import drive
from jobs.sweeping.trials import Trials, read_table
from tests.jobs.sweeping.synthetic import plan_of
from tests.rig import TINY

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

HALF = {"kind": "data_parallel", "workers": 2, "cpus_per_worker": 0.5}


def swept(root: Path, data: Folder, trials: int, **options: Any) -> tuple[Trials, list[dict[str, Any]]]:
    from dataclasses import replace

    train = {"model": {"backbone": TINY}, "strategy": HALF, "batch_size": 64} | options.pop("train", {})
    rate = {"learning_rate": {"kind": "log_uniform", "low": 1e-7, "high": 1e-2}}
    plan = replace(plan_of(root, rate, trials, **options, **train), data=data, runner=None)
    out = Folder(str(root / "out"))
    drive(plan, out, lambda event: None)
    return Trials.load(out), read_table(out.fetch())


def groups_left() -> set[str]:
    import ray

    return {group["state"] for group in ray.util.placement_group_table().values()} - {"REMOVED"}


def test_groups_train_at_once_and_leave_nothing(ray_cluster: None, digits: Folder, tmp_path: Path) -> None:
    trials, rows = swept(tmp_path, digits, 3, train={"epochs": 1})
    assert (trials.finished, trials.failed) == (3, 0), [row["error"] for row in rows]
    spans = sorted((row["begun"], row["begun"] + row["seconds"]) for row in rows)
    assert spans[1][0] < spans[0][1]  # the second began before the first had ended
    assert groups_left() == set()
    assert not list((tmp_path / "kept/groups").glob("*"))


@pytest.mark.slow
def test_ten_stopped_groups_leave_nothing(ray_cluster: None, digits: Folder, tmp_path: Path) -> None:
    trials, rows = swept(tmp_path, digits, 14, train={"epochs": 6}, scheduler={"kind": "asha", "reduction": 4})
    assert trials.failed == 0, [row["error"] for row in rows]
    assert trials.stopped >= 10
    assert groups_left() == set()
