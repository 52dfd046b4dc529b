"""Every strategy trains with its processes on two nodes; a new one is under test with two workers by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.strategies import Strategy

OPTIONS: dict[str, dict[str, Any]] = {  # what does not fit on one node of one CPU
    "federated": {"workers": 2, "cpus_per_worker": 0.5},
    "parameter_server": {"workers": 2, "cpus_per_worker": 0.5, "cpus_per_server": 0.4, "cpus_of_coordinator": 0.6},
    "single": {},
}
SHORT = "parameter_server"  # the one with most roles is for make test
KINDS = sorted(tag for tag, cls in Strategy.members().items() if cls.__module__.startswith("jobs."))


@pytest.mark.cluster
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == SHORT else pytest.mark.slow) for kind in KINDS]
)
def test_a_strategy_trains_with_its_processes_on_two_nodes(kind: str, texts: Folder, tmp_path: Path) -> None:
    fields = {"kind": kind, **OPTIONS.get(kind, {"workers": 2, "cpus_per_worker": 1})}
    strategy = Strategy.choose(fields)
    command = [sys.executable, "-m", "tests.contracts.two_nodes", json.dumps(fields), str(tmp_path), str(texts)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=230)
    assert not ran.returncode, ran.stderr[-3000:] + ran.stdout[-3000:]

    where = json.loads(ran.stdout.splitlines()[-1])
    assert len(where) == len(strategy.processes())
    assert set(where.values()) == ({"other"} if kind == "single" else {"head", "other"}), where
    if kind == SHORT:  # servers and workers never share a node here, whoever shares the coordinator's
        assert where["worker 0"] == where["worker 1"] != where["server 0"]
    history = Model.load(Folder.parse(str(tmp_path / "out"))).history
    assert [epoch.epoch for epoch in history] == [1, 2]
    assert history[1].loss < history[0].loss
