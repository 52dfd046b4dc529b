from __future__ import annotations

import pytest
from pydantic import ValidationError

from jobs.judging.verdict import Verdict
from jobs.kinds.evaluate import Evaluate, Reject, Require

FOUND = {
    "big": {"accuracy": 0.99, "macro_f1": 0.98, "size_bytes": 1000, "gzip_bytes": 900, "p99_ms": 1.0},
    "small": {"accuracy": 0.97, "macro_f1": 0.96, "size_bytes": 400, "gzip_bytes": 90, "p99_ms": 0.5},
}


def shortfalls(require: Require) -> list[str]:
    return list(Verdict("small", require, FOUND["small"], FOUND["big"]).shortfalls())


def test_every_threshold_missed_is_said_with_its_value() -> None:
    require = Require(accuracy=0.98, accuracy_drop=0.01, size_bytes=300, size_share=0.3, gzip_share=0.05, p99_ms=0.4)
    assert shortfalls(require) == [
        "small: accuracy is 0.97, required >= 0.98",
        "small: accuracy_drop is 0.02, required <= 0.01",
        "small: size_bytes is 400, required <= 300",
        "small: size_share is 0.4, required <= 0.3",
        "small: gzip_share is 0.1, required <= 0.05",
        "small: p99_ms is 0.5, required <= 0.4",
    ]


def test_thresholds_met_to_the_letter_are_met() -> None:
    assert shortfalls(Require(accuracy=0.97, macro_f1=0.96, size_bytes=400, size_share=0.4, p99_ms=0.5)) == []


def test_a_drop_that_is_the_limit_is_met() -> None:
    big, small = {**FOUND["big"], "accuracy": 0.97}, {**FOUND["small"], "accuracy": 0.96}
    assert list(Verdict("small", Require(accuracy_drop=0.01), small, big).shortfalls()) == []


def judged(rows: int, right: int, lost: int, gained: int, require: Require) -> Verdict:
    """Return the verdict on a model with `right` of `rows`, that lost and gained rows against the first."""
    first = {"accuracy": (right + lost - gained) / rows, "rows": rows, "size_bytes": 1}
    against = {"first": "big", "lost": lost, "gained": gained}
    return Verdict(
        "small", require, {"accuracy": right / rows, "rows": rows, "size_bytes": 1, "against": against}, first
    )


def test_a_gate_met_by_luck_says_so() -> None:
    """Of 1,200 rows 6 are lost in all: a drop of half a point, which a gate of one cannot tell from more."""
    verdict = judged(1200, 1128, 24, 18, Require(accuracy_drop=0.01))
    assert list(verdict.shortfalls()) == []
    assert verdict.within_noise() == [
        "small: that accuracy_drop meets 0.01 is within noise: 95 % interval -0.0058 to 0.0158 on 1,200 rows"
    ]


def test_a_gate_missed_by_luck_says_so() -> None:
    verdict = judged(1200, 1128, 30, 15, Require(accuracy_drop=0.01, accuracy=0.95))
    assert list(verdict.shortfalls()) == [
        "small: accuracy is 0.94, required >= 0.95",
        "small: accuracy_drop is 0.0125, required <= 0.01",
    ]
    assert [text.partition(" is within")[0] for text in verdict.within_noise()] == [
        "small: that accuracy misses 0.95",
        "small: that accuracy_drop misses 0.01",
    ]


def test_a_gate_that_is_met_clearly_says_nothing() -> None:
    assert judged(10_000, 9_400, 30, 25, Require(accuracy_drop=0.01, accuracy=0.9)).within_noise() == []


def test_with_confidence_the_bound_is_held_and_not_the_measurement() -> None:
    strict = Require(accuracy_drop=0.01, accuracy=0.935, confidence=0.95)
    assert list(judged(1200, 1128, 24, 18, strict).shortfalls()) == [
        "small: accuracy at confidence 0.95 is 0.9277, required >= 0.935",
        "small: accuracy_drop at confidence 0.95 is 0.01407, required <= 0.01",
    ]
    assert list(judged(12_000, 11_280, 60, 55, strict).shortfalls()) == []
    assert judged(12_000, 11_280, 60, 55, strict).within_noise() == []


def test_what_rejection_and_calibration_reach_is_held() -> None:
    found = {**FOUND["small"], "calibration": {"ece": 0.04}, "reject": {"coverage": 0.8, "accuracy": None}}
    require = Require(ece=0.03, coverage=0.9, accepted_accuracy=0.99)
    assert list(Verdict("small", require, found, FOUND["big"]).shortfalls()) == [
        "small: ece is 0.04, required <= 0.03",
        "small: coverage is 0.8, required >= 0.9",
        "small: accepted_accuracy is of no row, required >= 0.99",
    ]


def test_a_model_is_judged_once() -> None:
    job = Evaluate(models=["big", "big"], data="data")
    assert list(job.problems({})) == [(("models", 1), "'big' is judged already")]


def test_a_requirement_of_a_model_that_is_not_judged_is_refused() -> None:
    job = Evaluate(models=["big"], data="data", require={"smal": Require(accuracy=0.9)})
    assert list(job.problems({})) == [(("require", "smal"), "'smal' is not among the models judged: big")]


def test_coverage_is_required_only_of_what_may_reject() -> None:
    require = {"big": Require(coverage=0.9)}
    place = ("require", "big", "coverage")
    assert list(Evaluate(models=["big"], data="data", require=require).problems({})) == [
        (place, "needs reject, which says when no answer is given")
    ]
    assert not list(Evaluate(models=["big"], data="data", require=require, reject=Reject(accuracy=0.9)).problems({}))


def test_confidence_alone_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs accuracy or accuracy_drop, which it is the confidence of"):
        Require(confidence=0.95, size_bytes=3)
