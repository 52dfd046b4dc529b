"""A search whose driver is killed goes on, and trains no candidate again that was trained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.searching.methods import Method
from jobs.sweeping.trials import read_table
from tests.faults.test_sweep import _wait_for as wait_for

pytestmark = pytest.mark.cluster

DRIVER = """
import sys
from pathlib import Path
from cluster.resources import Resources
from cluster.session import connected
from cluster.work import run_remote
from jobs.searching.quest import run_trials
from tests.jobs.searching.synthetic import output, quest_of, search_of

root, kind = Path(sys.argv[1]), sys.argv[2]
with connected("local", cpus=2):
    search, out = search_of({"kind": kind}), output(root)
    quest, plan = search.method.plan(quest_of(root, search), out)
    run_remote(run_trials, quest, plan, out.folder, resources=Resources(), tell=lambda event: None)
"""


@pytest.mark.parametrize("kind", Method.members())
def test_a_search_whose_driver_was_killed_trains_no_candidate_again(kind: str, tmp_path: Path) -> None:
    environment = {**os.environ, "ESPALIER_SYNTHETIC": "slow"}
    command = [sys.executable, "-c", DRIVER, str(tmp_path), kind]
    driver = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = tmp_path / "kept/trials"
    try:
        wait_for(lambda: len(list(journal.glob("0*.json"))) >= 3)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    kept = {file.name: file.read_text() for file in journal.glob("0*.json")}
    assert len(kept) >= 3
    subprocess.run(command, env=os.environ, check=True, timeout=120, stdout=subprocess.DEVNULL)
    assert all((journal / name).read_text() == text for name, text in kept.items())
    rows = read_table(tmp_path / "out")
    assert len({json.dumps(row["values"], sort_keys=True) for row in rows}) == len(rows) > len(kept)
    facts = json.loads((tmp_path / "out/artifact.json").read_text())["facts"]
    assert facts["candidates"] == 90
    assert facts["agreement"] == (1.0 if kind == "supernet" else None)
