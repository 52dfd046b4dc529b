"""How many trials run at once: as many as the cluster holds, of memory too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.errors import StepError
from cluster.growth import grown
from cluster.resources import Capacity, Nodes, Resources
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


def test_what_an_autoscaler_may_add_is_room(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SPACE, 8)
    head = [Nodes(Resources(0), 1)]  # at rest, a cluster is its head, which holds nothing
    types = {"cpu": {"resources": {"CPU": 2}, "max_workers": 3}}
    assert together(plan, grown(head, head, {"max_workers": 3, "available_node_types": types})) == 6
    assert together(plan, Capacity.unknown()) == 8
    assert together(replace(plan, concurrent=3), Capacity.unknown()) == 3
    with pytest.raises(StepError, match="wanted 0 CPU or less"):
        together(plan, Capacity.of(head))
