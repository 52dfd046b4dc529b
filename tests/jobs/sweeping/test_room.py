"""How many trials run at once: as many as the cluster holds, of memory too."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.errors import StepError
from cluster.resources import Resources
from jobs.sweeping.driving import together
from tests.jobs.sweeping.synthetic import plan_of

SPACE = {"model.dropout": {"kind": "uniform", "low": 0.0, "high": 0.9}}
GIB = 2**30


def test_trials_share_the_memory_of_the_cluster(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SPACE, 8, strategy={"kind": "single", "memory": GIB})
    held = {"CPU": 6.0, "memory": 2.5 * GIB, "object_store_memory": 1.0 * GIB, "node:10.0.0.1": 1.0}
    assert together(plan, Resources.of_node(held)) == 2
    with pytest.raises(StepError) as refused:
        together(plan, Resources.of_node({"CPU": 6.0, "memory": 0.5 * GIB}))
    assert str(refused.value) == "a trial: needs 1 CPU, 1 GiB, wanted 6 CPU, 0.5 GiB or less"
