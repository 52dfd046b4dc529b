"""A search whose driver is killed goes on, and trains no candidate again that was trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.searching.methods import Method
from jobs.sweeping.trials import read_table
from tests.faults.killed_trials import killed_and_ended

pytestmark = pytest.mark.cluster

DRIVER = """
import sys
from pathlib import Path
from cluster.session import connected
from jobs.searching.quest import run_trials
from jobs.sweeping.driving import apart
from tests.jobs.searching.synthetic import output, quest_of, search_of

root, kind = Path(sys.argv[1]), sys.argv[2]
with connected("local", cpus=2):
    search, out = search_of({"kind": kind}), output(root)
    quest, plan = search.method.plan(quest_of(root, search), out)
    apart(run_trials, quest, plan, out.folder, tell=lambda event: None)
"""


@pytest.mark.parametrize("kind", Method.members())
def test_a_search_whose_driver_was_killed_trains_no_candidate_again(kind: str, tmp_path: Path) -> None:
    kept = killed_and_ended(DRIVER, tmp_path, kind)
    rows = read_table(tmp_path / "out")
    assert len({json.dumps(row["values"], sort_keys=True) for row in rows}) == len(rows) > kept
    facts = json.loads((tmp_path / "out/artifact.json").read_text())["facts"]
    assert facts["candidates"] == 90
    assert facts["agreement"] == (1.0 if kind == "supernet" else None)
