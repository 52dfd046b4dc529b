"""What every method of architecture search promises: the best candidate within the limits, none of them done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.errors import StepError
from jobs.searching.candidates import kept, key
from jobs.searching.methods import Method
from jobs.sweeping.driving import Book
from tests.jobs.searching.synthetic import MACS, best, output, quest_of, search_of, worth
from tests.jobs.sweeping.synthetic import run_book

FIELDS: dict[str, dict[str, Any]] = {"evolution": {"trials": 40}}


def run(book: Book, trials: int) -> list[dict[str, Any]]:
    return run_book(book, trials, worth)


def book_of(root: Path, kind: str, **fields: Any) -> tuple[Any, Book]:
    search = search_of({"kind": kind} | FIELDS.get(kind, {}), **fields)
    quest, plan = search.method.plan(quest_of(root, search), output(root))
    return quest, Book(plan, lambda event: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", Method.members())
def test_the_best_is_found_and_limits_are_kept_before_anything_is_trained(kind: str, tmp_path: Path) -> None:
    quest, book = book_of(tmp_path, kind)
    run(book, 1000)
    assert 20 < len(kept(quest.candidates)) < len(quest.candidates) == 90
    found = max(trial.measured["accuracy"] for trial in book.trials.values())
    assert found >= worth(best(quest.candidates).values) - 0.01
    assert all(trial.measured["macs"] <= MACS for trial in book.trials.values())
    refused = [candidate for candidate in quest.candidates if candidate.refused]
    assert all(c.refused == f"macs {c.costs['macs']:,.0f} is above 1,000,000" for c in refused)


@pytest.mark.parametrize("kind", Method.members())
def test_no_candidate_is_trained_twice_also_after_an_interruption(kind: str, tmp_path: Path) -> None:
    _, book = book_of(tmp_path, kind)
    before = run(book, 5)
    _, again = book_of(tmp_path, kind)
    assert [trial.values for trial in again.trials.values()] == before
    after = run(again, 1000)
    assert after
    trained = [key(values) for values in before + after]
    assert len(trained) == len(set(trained)) == len(again.trials)


@pytest.mark.parametrize("kind", Method.members())
def test_a_search_ends_when_no_candidates_are_left(kind: str, tmp_path: Path) -> None:
    quest, book = book_of(tmp_path, kind, subject_to={"macs": 120_000})
    assert len(run(book, 1000)) == min(len(kept(quest.candidates)), book.plan.trials) < 40
    assert book.ask() is None


def test_the_definitions_own_values_are_the_first_trial_if_they_keep_the_limits(tmp_path: Path) -> None:
    _, book = book_of(tmp_path / "wide", "evolution", subject_to={})
    (first,) = run(book, 1)
    assert first == dict(zip(first, (12, 20, 5, "basic"), strict=True))
    _, book = book_of(tmp_path / "narrow", "evolution")
    assert run(book, 1) != [first]


def test_own_values_that_do_not_count_make_no_other_candidate(tmp_path: Path) -> None:
    space = {
        "model.backbone.block": {"kind": "choice", "values": ["basic", "separable"]},
        "model.backbone.kernel": {"kind": "choice", "values": [3, 5], "when": {"model.backbone.block": ["separable"]}},
        "model.backbone.width": {"kind": "choice", "values": [8, 12]},
    }
    search = search_of({"kind": "evolution"}, space=space, subject_to={})
    quest, plan = search.method.plan(quest_of(tmp_path, search), output(tmp_path))
    assert len(quest.candidates) == plan.trials == 6
    book = Book(plan, lambda event: None)  # type: ignore[arg-type]
    asked = [book.ask() for _ in range(7)]
    assert asked[6] is None
    assert not [trial for trial in asked[1:6] if trial is None or trial["values"] == quest.own()]


def test_limits_that_nothing_keeps_on_these_data_end_the_search_before_training(tmp_path: Path) -> None:
    search = search_of({"kind": "evolution"}, subject_to={"macs": 1_000})
    with pytest.raises(StepError, match=r"none of 90 candidates keeps the limits \(the first: macs .* is above 1,000"):
        quest_of(tmp_path, search).tell_refused(output(tmp_path))
