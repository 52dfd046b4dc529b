"""A sweep among whose trials one raises, one comes to nothing and one dies, and whose driver is killed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from jobs.sweeping.driving import drive
from jobs.sweeping.schedulers import Scheduler
from jobs.sweeping.searchers import Searcher
from jobs.sweeping.trials import Trials, read_table
from pipelines.console import describe
from tests.faults.killed_trials import killed_and_ended
from tests.jobs.sweeping.synthetic import plan_of

pytestmark = pytest.mark.cluster

SEEDS = {
    "seed": {"kind": "choice", "values": [0, 13, 666, 9, 5]},
    "model.dropout": {"kind": "choice", "values": [0.9, 0.3]},
}
SPACES: dict[str, dict[str, dict[str, Any]]] = {
    "grid": SEEDS,
    "random": {"model.dropout": {"kind": "uniform", "low": 0.0, "high": 0.9}},
}
KINDS = [(kind, "none") for kind in Searcher.members()] + [("random", kind) for kind in Scheduler.members()]
DRIVER = """
import sys
from pathlib import Path
from cluster.folder import Folder
from cluster.session import connected
from jobs.sweeping.driving import drive
from tests.faults.test_sweep import SPACES
from tests.jobs.sweeping.synthetic import plan_of

root, searcher, scheduler = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
with connected("local", cpus=2):
    plan = plan_of(root, SPACES.get(searcher, SPACES["random"]), 10, searcher=searcher, scheduler=scheduler)
    drive(plan, Folder(str(root / "out")), lambda event: None)
"""


@pytest.mark.usefixtures("ray_cluster")
def test_trials_that_fail_are_recorded_and_the_best_is_among_the_good(tmp_path: Path) -> None:
    out = Folder(str(tmp_path / "out"))
    plan = plan_of(tmp_path, SEEDS, 11, searcher="grid")
    drive(plan, out, lambda event: None)
    trials, rows = Trials.load(out), read_table(out.fetch())
    failed = {row["values"]["seed"]: row["error"] for row in rows if row["status"] == "failed"}
    assert sorted(failed) == [9, 13, 666]
    assert failed[13].startswith("the thirteenth seed is unlucky\nTraceback")
    assert failed[666] == "it measured {'accuracy': nan, 'loss': nan}" or "accuracy': nan" in failed[666]
    assert re.fullmatch(
        r"its process died \(pid \d+ on [\d.]+\): it was killed by signal 9 \(SIGKILL\); its log: .*worker-.*\.err",
        failed[9],
    )
    assert (trials.finished, trials.failed) == (4, 6)  # trial 0 is one of the ten, and is made once
    assert trials.values == {"seed": 0, "model.dropout": 0.3}
    told: list[str] = []
    drive(plan, out, lambda event: told.append(describe(event)))
    assert told == ["trials kept 10"]  # a sweep that goes on says so, in words the console has


@pytest.mark.parametrize(
    ("searcher", "scheduler"),
    [pytest.param(*pair, marks=[] if pair == ("grid", "none") else pytest.mark.slow) for pair in dict.fromkeys(KINDS)],
)
def test_a_sweep_whose_driver_was_killed_runs_no_finished_trial_again(
    searcher: str, scheduler: str, tmp_path: Path
) -> None:
    assert 3 <= killed_and_ended(DRIVER, tmp_path, searcher, scheduler) < 10
    rows = read_table(tmp_path / "out")
    assert [row["number"] for row in rows] == list(range(10))
    assert json.loads((tmp_path / "out/artifact.json").read_text())["type"] == "Trials"


@pytest.mark.slow
def test_a_trial_that_is_lost_with_its_node_is_made_again(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.faults.lost_node", str(tmp_path)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=230)
    assert not ran.returncode, ran.stderr[-3000:] + ran.stdout[-3000:]
    told = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    (lost,) = (event["warning"] for event in told if "warning" in event)
    assert re.fullmatch(r"trial \d was lost with its node, and is made again", lost)
    rows = read_table(tmp_path / "out")
    assert [(row["number"], row["status"]) for row in rows] == [(number, "finished") for number in range(6)]
