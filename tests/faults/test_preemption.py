"""A node comes and is taken away again while an elastic training runs on it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from jobs.artifacts import Model
from tests.faults import preempted_gang
from tests.faults.two_raylets import EPOCHS


def events_of(module: str, root: Path, data: Folder, *more: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", f"tests.faults.{module}", str(root), str(data), *more]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=230)
    assert not ran.returncode, ran.stderr[-3000:] + ran.stdout[-3000:]
    return [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("when", "workers"), [("early", [2, 1]), pytest.param("late", [1, 2, 1], marks=pytest.mark.slow)]
)
def test_an_elastic_training_survives_the_preemption_of_a_node_whenever_that_came(
    when: str, workers: list[int], digits: Folder, tmp_path: Path
) -> None:
    events = events_of("two_raylets", tmp_path, digits, when)
    assert [event["workers"] for event in events if "workers" in event] == workers
    assert not [event for event in events if "retry" in event and not event["restart"].startswith("0 of")]
    (notice,) = (index for index, event in enumerate(events) if "preemption" in event)
    assert re.fullmatch("worker [01] of 1 to 2", events[notice]["preemption"])
    kept = sorted(path.name for path in (tmp_path / "checkpoints/run").glob("phase000-epoch*-step*"))
    assert kept, "nothing asks for checkpoints within an epoch but the notice"
    *grown, shrunk = (event for event in events if "resume" in event)
    assert len(grown) == len(workers) - 2
    assert all(shrunk["after_epoch"] >= event["after_epoch"] for event in grown)
    before = [event["epoch"]["epoch"] for event in events[:notice] if "epoch" in event]
    assert shrunk["after_epoch"] + bool(shrunk["train_step"]) > before[-1]  # not from before the notice
    assert [epoch.epoch for epoch in Model.load(Folder.parse(str(tmp_path / "out"))).history] == [*range(1, EPOCHS + 1)]


@pytest.mark.slow
@pytest.mark.cluster
def test_a_node_that_is_killed_without_notice_costs_one_retry_and_training_goes_on(
    digits: Folder, tmp_path: Path
) -> None:
    events = events_of("two_raylets", tmp_path, digits, "sudden")
    assert [event["workers"] for event in events if "workers" in event] == [2, 1]
    (retry,) = (event for event in events if "retry" in event)
    assert retry["restart"] == "1 of 1"
    # Workers find out sooner than Ray, whose head waits for the node a while.
    assert re.search("was lost with its node|a process it trained with was lost, as its node may be$", retry["retry"])
    (resumed,) = (event["after_epoch"] for event in events if "resume" in event)
    before = [event["epoch"]["epoch"] for event in events[: events.index(retry)] if "epoch" in event]
    assert resumed == before[-1]
    assert [epoch.epoch for epoch in Model.load(Folder.parse(str(tmp_path / "out"))).history] == [*range(1, EPOCHS + 1)]


@pytest.mark.slow
@pytest.mark.cluster
def test_parameter_servers_that_lose_a_node_start_again_elsewhere_and_no_failure_is_counted(
    digits: Folder, tmp_path: Path
) -> None:
    events = events_of("preempted_gang", tmp_path, digits)
    (notice,) = (index for index, event in enumerate(events) if "preemption" in event)
    assert events[notice]["preemption"] == "processes it started"
    (retry,) = (event for event in events if "retry" in event)
    assert retry["restart"] == "0 of 0"
    assert re.fullmatch("(server|worker) [01]: was lost with its node, which was taken away", retry["retry"]), retry
    (resumed,) = (event["after_epoch"] for event in events if "resume" in event)
    before = [event["epoch"]["epoch"] for event in events[:notice] if "epoch" in event]
    assert resumed >= before[-1]
    history = Model.load(Folder.parse(str(tmp_path / "out"))).history
    assert [epoch.epoch for epoch in history] == [*range(1, preempted_gang.EPOCHS + 1)]
