"""Which trial wins: goals in order, limits kept, and the front of those that no other beats."""

from __future__ import annotations

from jobs.sweeping.goals import Goals

FOUND = {
    0: {"accuracy": 0.97, "size_bytes": 400.0},
    1: {"accuracy": 0.95, "size_bytes": 100.0},
    2: {"accuracy": 0.96, "size_bytes": 200.0},
    3: {"accuracy": 0.94, "size_bytes": 150.0},
}


def test_the_best_is_best_in_the_first_goal_among_those_that_keep_the_limits() -> None:
    assert Goals({"accuracy": True}, {}).best(FOUND) == 0
    assert Goals({"accuracy": True}, {"size_bytes": 250.0}).best(FOUND) == 2
    assert Goals({"size_bytes": False}, {"accuracy": 0.96}).best(FOUND) == 2
    assert Goals({"accuracy": True}, {"size_bytes": 50.0}).best(FOUND) is None


def test_the_first_of_equals_wins_unless_a_later_goal_tells_them_apart() -> None:
    equal = {5: {"accuracy": 0.9, "size_bytes": 2.0}, 7: {"accuracy": 0.9, "size_bytes": 1.0}}
    assert Goals({"accuracy": True}, {}).best(equal) == 5
    assert Goals({"accuracy": True, "size_bytes": False}, {}).best(equal) == 7


def test_the_front_is_what_no_other_beats() -> None:
    assert Goals({"accuracy": True, "size_bytes": False}, {}).front(list(FOUND.values())) == [0, 1, 2]


def test_schedulers_watch_the_first_goal_that_epochs_show() -> None:
    assert Goals({"size_bytes": False, "loss": False}, {}).watched == "loss"
    assert Goals({"size_bytes": False}, {}).watched == "accuracy"
