from __future__ import annotations

from typing import Any

import pytest

from cluster.growth import grown
from cluster.resources import Capacity, Nodes, Resources

TWO_SMALL = [Nodes(Resources(2), 2)]
HEAD = [Nodes(Resources(1), 1)]
TYPES: dict[str, dict[str, Any]] = {
    "head": {"resources": {"CPU": 1}, "max_workers": 0},
    "small": {"resources": {"CPU": 2}, "max_workers": 2},
    "gpu": {"resources": {"CPU": 4, "GPU": 1}, "max_workers": 2},
}
LIMIT = {"max_workers": 3, "head_node_type": "head"}
CONFIG: dict[str, Any] = {**LIMIT, "available_node_types": TYPES}


def test_fractions_are_counted_as_often_as_they_fit() -> None:
    assert Resources(0.1).times_in(Resources(1)) == 10
    assert Resources(1, 0.5).times_in(Resources(4, 1)) == 2
    assert Resources(1, 1).times_in(Resources(4)) == 0
    assert Resources(0.1, 0.33).times_in(Resources(64, 40)) == 120  # no share lies on two GPUs
    assert Resources(0.1, 0.6).times_in(Resources(64, 5)) == 5
    assert Resources(1, 2).times_in(Resources(64, 5)) == 2


@pytest.mark.parametrize(
    ("processes", "reason"),
    [
        ([Resources(2), Resources(2)], ""),
        ([Resources(1), Resources(1), Resources(2)], ""),
        ([Resources(3)], "needs 3 CPU in one process, and no node of the cluster holds that much"),
        ([Resources(1, 1)], "needs 1 CPU, 1 GPU in one process, and no node of the cluster holds that much"),
        ([Resources(1.5)] * 3, "needs 3 processes of 1.5 CPU, and the nodes of the cluster hold 2 of them"),
    ],
)
def test_processes_must_lie_on_nodes_whatever_their_sum(processes: list[Resources], reason: str) -> None:
    assert Capacity.of(TWO_SMALL).refuses(processes) == reason


def test_what_an_autoscaler_may_add_counts_within_its_limits() -> None:
    capacity = grown(HEAD, HEAD, CONFIG)
    assert (capacity.cpus, capacity.gpus) == (1 + 4 + 4 + 2, 2)
    assert not capacity.refuses([Resources(4, 1)] * 2)
    assert capacity.refuses([Resources(4, 1)] * 3)
    assert Resources(11, 2).fits(capacity)
    assert not Resources(12).fits(capacity)


def test_nodes_that_are_there_and_in_no_file_count() -> None:
    capacity = grown([*HEAD, Nodes(Resources(64), 1)], HEAD, CONFIG)
    assert (capacity.cpus, capacity.gpus) == (65, 2)
    assert not capacity.refuses([Resources(60)])


def test_nothing_is_too_much_for_a_cluster_that_grows_nobody_knows_how_far() -> None:
    capacity = Capacity.unknown()
    assert Resources(1e9, 1e9).fits(capacity)
    assert not capacity.refuses([Resources(1e9)])
    assert str(capacity) == "what its autoscaler gives"


def test_what_an_autoscaler_published_bounds_nothing_where_any_number_may_be_added() -> None:
    capacity = Capacity.of(HEAD, [Nodes(Resources(4), 2**31)])
    assert not capacity.refuses([Resources(4)] * 1000)
    assert capacity.refuses([Resources(5)])


def test_a_sum_has_no_labels_and_its_memory_counts() -> None:
    size = Resources(1, 0, 2**30, (("market", "spot"),))
    assert size + size == Resources(2, 0, 2**31)
    assert str(size) == "1 CPU, 1 GiB, market spot"
    assert not size.fits(Resources(8, 8, 2**29))


def test_processes_fill_the_nodes_there_are_before_new_ones_start() -> None:
    placed = grown(HEAD, HEAD, CONFIG).placed([Resources(1), Resources(2), Resources(2)])
    assert [(node.kind, node.new) for node in placed or ()] == [("", False), ("small", True), ("small", True)]
    assert grown(HEAD, HEAD, CONFIG).placed([Resources(4, 1)] * 3) is None
    assert Capacity.of(TWO_SMALL).placed([Resources(3)]) is None
    assert Capacity.unknown().placed([Resources(1)]) is None
