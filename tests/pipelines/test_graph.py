from graphlib import CycleError

import pytest

from pipelines import graph

DIAMOND: dict[str, set[str]] = {
    "report": {"judge"},
    "data": set(),
    "left": {"data"},
    "right": {"data"},
    "judge": {"right", "left"},
    "alone": set(),
}
CHAIN: dict[str, set[str]] = {f"s{i}": {f"s{i - 1}"} if i else set() for i in range(10_000)}


def test_order_puts_needs_first_and_otherwise_keeps_the_definition() -> None:
    assert graph.order(DIAMOND) == ["data", "left", "right", "judge", "report", "alone"]


def test_order_of_steps_written_in_a_right_order_is_that_order() -> None:
    steps: dict[str, set[str]] = {"c": set(), "a": set(), "b": {"c"}, "d": {"a"}, "e": set()}
    assert graph.order(steps) == list(steps)


def test_order_of_a_circle_is_refused() -> None:
    with pytest.raises(CycleError):
        graph.order({"a": {"b"}, "b": {"a"}})


def test_dependants_are_transitive_and_in_the_order_of_the_definition() -> None:
    assert graph.dependants(DIAMOND, "data") == ["report", "left", "right", "judge"]
    assert graph.dependants(DIAMOND, "report") == []


def test_ancestors_hold_the_steps_themselves() -> None:
    assert graph.ancestors(DIAMOND, ["judge", "alone"]) == ["data", "left", "right", "judge", "alone"]


@pytest.mark.parametrize(
    ("steps", "circle"),
    [
        ({"a": {"b"}, "b": {"a"}}, ["a", "b", "a"]),
        ({"a": {"a"}}, ["a", "a"]),
        ({"x": {"c"}, "c": {"b"}, "b": {"a"}, "a": {"c"}}, ["c", "a", "b", "c"]),
        (DIAMOND, []),
    ],
)
def test_cycle_starts_at_the_step_defined_first_and_each_is_needed_by_the_next(
    steps: dict[str, set[str]], circle: list[str]
) -> None:
    assert graph.cycle(steps) == circle


def test_a_chain_of_ten_thousand_steps_needs_no_recursion() -> None:
    backwards = dict(reversed(CHAIN.items()))
    assert graph.order(backwards) == list(CHAIN)
    assert graph.dependants(CHAIN, "s0") == list(CHAIN)[1:]
    assert graph.ancestors(CHAIN, ["s9999"]) == list(CHAIN)
    assert len(graph.cycle({**CHAIN, "s0": {"s9999"}})) == 10_001
