"""Federated training under Ray Train: one of its clients dies, and the coordinator has no training row open."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.strategies import Strategy
from tests.jobs.strategies.federated.rig import SGD, SMALL, DieInRound, Trained, open_files
from tests.rig import DoAfterEpoch, epochs_of

pytestmark = pytest.mark.cluster


@dataclass(frozen=True)
class Look:
    """Leaves in `folder` which files the process has open after each epoch."""

    folder: Path

    def __call__(self, epoch: int) -> None:
        (self.folder / f"opened{epoch}.json").write_text(json.dumps(sorted(open_files())))


def test_a_round_is_survived_by_the_clients_that_answer(ray_cluster: None, texts: Folder, tmp_path: Path) -> None:
    from jobs.strategies.ray_train import Group, run_group

    trained = Trained(tmp_path, texts, SMALL, SGD | {"epochs": 3})
    work = DieInRound(DoAfterEpoch(trained.work(), 0, Look(tmp_path)), {1: 1})
    group = Group(work, Strategy.choose(SMALL), trained.name, Folder.parse(str(tmp_path / "kept")), retries=0, keep=2)
    events: list[dict[str, Any]] = []
    run_remote(run_group, group, resources=Resources(), tell=events.append, warm=True)

    (warning,) = [event["warning"] for event in events if "warning" in event]
    death = r"client 1: \(pid \d+ on [0-9.]+\) was killed by signal 9 \(SIGKILL\); rounds go on without it"
    assert re.fullmatch(death, warning), warning
    assert epochs_of(events) == [1, 2, 3]
    assert [epoch.facts for epoch in trained.history()] == [{"clients": 2}, {"clients": 1}, {"clients": 1}]
    assert {"clients": 2, "rows of each": "80 to 80"} in events
    for epoch in range(1, 4):
        opened = json.loads((tmp_path / f"opened{epoch}.json").read_text())
        assert not [file for file in opened if file.endswith("train.arrow") and "nobody" not in file]
