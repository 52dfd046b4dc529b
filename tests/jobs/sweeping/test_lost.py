"""Trials whose processes end: by themselves, which is their failure, or with their nodes, which is nobody's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray

from cluster import growth
from cluster.errors import StepError
from cluster.folder import Folder
from cluster.resources import Capacity, Nodes, Resources
from jobs.sweeping import driving
from jobs.sweeping.driving import Book, run_sweep
from jobs.sweeping.trials import read_table
from tests.jobs.sweeping.synthetic import plan_of, run_book

SPACE = {"model.dropout": {"kind": "uniform", "low": 0.0, "high": 0.9}}
ALONE = "The actor died unexpectedly.\n\tpid: 4711\n\tip: 10.0.0.7\nThe actor is dead because its process has died."
NODE = "The actor died unexpectedly.\n\tip: 10.0.0.7\nThe actor died because its node has died. Node Id: f00"


def test_a_process_that_died_is_the_failure_of_its_trial_and_named(tmp_path: Path) -> None:
    book = Book(plan_of(tmp_path, SPACE, 3), lambda event: None)  # type: ignore[arg-type]
    asked = book.ask()
    assert asked is not None
    book.died(asked["number"], ALONE)
    (kept,) = Book(book.plan, lambda event: None).trials.values()  # type: ignore[arg-type]
    assert (kept.number, kept.status) == (0, "failed")
    assert kept.error == (
        "its process died (pid 4711 on 10.0.0.7); its log: worker-*-4711.err in the Ray logs on 10.0.0.7"
    )


def test_a_trial_that_went_with_its_node_is_not_kept_and_asked_for_again(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    book = Book(plan_of(tmp_path, SPACE, 3), told.append)  # type: ignore[arg-type]
    (first, second) = (book.ask(), book.ask())
    assert first is not None
    assert second is not None
    book.died(first["number"], NODE)
    book.died(first["number"], NODE)  # Tune may tell of it twice
    assert book.lost == [0]
    assert told == [{"warning": "trial 0 was lost with its node, and is made again"}]
    again = Book(book.plan, lambda event: None)  # type: ignore[arg-type]
    assert again.trials == {}
    asked = again.ask()
    assert asked == first


def swept(root: Path, monkeypatch: pytest.MonkeyPatch, losing: int) -> list[int]:
    """Sweep over four trials, one of them lost in each of the first `losing` rounds; return what rounds began with."""
    rounds: list[int] = []

    def tuned(plan: Any, book: Book, left: int, at_once: int) -> None:
        rounds.append(left)
        if len(rounds) <= losing:
            asked = book.ask()
            assert asked is not None
            book.died(asked["number"], NODE)
        run_book(book, 4, lambda values: 0.5)

    room = Capacity.of([Nodes(Resources(2), 1)])
    monkeypatch.setattr(driving, "_tuned", tuned)
    monkeypatch.setattr(ray, "nodes", lambda: [])
    monkeypatch.setattr(growth, "capacity_of", lambda nodes: room)
    run_sweep(plan_of(root, SPACE, 4), Folder(str(root / "out")), lambda event: None)  # type: ignore[arg-type]
    return rounds


def test_a_sweep_makes_again_what_it_lost_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert swept(tmp_path, monkeypatch, 2) == [4, 1, 1]
    assert [row["status"] for row in read_table(tmp_path / "out")] == ["finished"] * 4


def test_a_sweep_that_loses_the_same_each_time_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StepError, match=r"^trials 0: were lost with their nodes each time; run again to make them$"):
        swept(tmp_path, monkeypatch, 9)
