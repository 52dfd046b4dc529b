"""Drift: a stream that shifted is told from one that did not, by its classes, its texts' lengths or its brightness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from jobs.runtime.expectation import BRIGHTNESS, LENGTH, PREDICTED, expectation, features
from jobs.runtime.expected import Expected
from jobs.serving.metrics.drift import Drift, Sliding, psi

CLASSES, ROWS = 10, 2_000
MATTERS = 0.2


def images(rng: np.random.Generator, rows: int, scale: float = 1.0) -> NDArray[np.uint8]:
    bright = rng.uniform(0.2, 0.8, (rows, 1, 1, 1)) * scale
    return (rng.uniform(0, 255, (rows, 8, 8, 1)) * bright).astype(np.uint8)


def texts(rng: np.random.Generator, rows: int, longer: int = 0) -> NDArray[np.int32]:
    lengths = np.clip(rng.poisson(20, rows) + longer, 1, 64)
    return np.where(np.arange(64) < lengths[:, None], 7, 0).astype(np.int32)


def answers(rng: np.random.Generator, rows: int, favoured: float = 0.1) -> NDArray[np.float32]:
    shares = np.full(CLASSES, (1 - favoured) / (CLASSES - 1))
    shares[3] = favoured
    return np.eye(CLASSES, dtype=np.float32)[rng.choice(CLASSES, rows, p=shares)]


def expected(rows: Any) -> Expected:
    return Expected.model_validate(expectation(answers(np.random.default_rng(0), ROWS), features(rows)).model_dump())


def watched(drift: Drift, rows: Any, said: NDArray[np.float32]) -> dict[str, float]:
    """Show the rows one request at a time; return what is told at the end."""
    for start in range(0, len(said), 8):
        part = {name: x[start : start + 8] for name, x in rows.items()} if isinstance(rows, dict) else rows[start:][:8]
        drift.add(part, said[start : start + 8].argmax(axis=1))
    return drift.told()


def test_a_stream_like_the_held_out_rows_has_not_drifted() -> None:
    rng = np.random.default_rng(1)
    drift = Drift(expected({"image": images(rng, ROWS), "tokens": texts(rng, ROWS)}))
    told = watched(drift, {"image": images(rng, 1_000), "tokens": texts(rng, 1_000)}, answers(rng, 1_000))
    assert set(told) == {PREDICTED, BRIGHTNESS, LENGTH}
    assert max(told.values()) < 0.1


@pytest.mark.parametrize(
    ("shifted", "of"),
    [({"scale": 0.5}, BRIGHTNESS), ({"longer": 10}, LENGTH), ({"favoured": 0.5}, PREDICTED)],
    ids=["darker", "longer", "one class more often"],
)
def test_a_shift_is_told_where_it_is_and_nowhere_else(shifted: dict[str, Any], of: str) -> None:
    rng = np.random.default_rng(2)
    drift = Drift(expected({"image": images(rng, ROWS), "tokens": texts(rng, ROWS)}))
    scale, longer, favoured = shifted.get("scale", 1.0), shifted.get("longer", 0), shifted.get("favoured", 0.1)
    rows = {"image": images(rng, 1_000, scale), "tokens": texts(rng, 1_000, longer)}
    told = watched(drift, rows, answers(rng, 1_000, favoured))
    assert {name for name, index in told.items() if index > MATTERS} == {of}


def test_what_passed_is_forgotten_and_too_few_rows_tell_nothing() -> None:
    rng = np.random.default_rng(3)
    drift = Drift(expected(images(rng, ROWS)))
    assert watched(drift, images(rng, 400, 0.5), answers(rng, 400)) == {}
    assert watched(drift, images(rng, 600, 0.5), answers(rng, 600))[BRIGHTNESS] > MATTERS
    assert watched(drift, images(rng, 1_500), answers(rng, 1_500))[BRIGHTNESS] < 0.1


def test_rare_classes_share_a_bin_and_one_never_expected_counts() -> None:
    rng = np.random.default_rng(4)
    said = np.eye(1_000, dtype=np.float32)[np.where(rng.random(ROWS) < 0.5, 0, rng.integers(1, 900, ROWS))]
    drift = Drift(expectation(said, {}))
    assert len(drift.sliding[PREDICTED].expected) == 2
    drift.add(np.zeros((500, 1), np.float32), np.full(500, 950))  # no row had it
    assert drift.told()[PREDICTED] > MATTERS


def test_the_index_is_the_textbooks() -> None:
    seen, wanted = np.array([30_000, 70_000]), np.array([0.5, 0.5])
    assert psi(seen, wanted) == pytest.approx(-0.2 * np.log(0.3 / 0.5) + 0.2 * np.log(0.7 / 0.5), abs=1e-4)
    assert Sliding(np.array([0.5, 0.5])).drift() is None


def test_features_are_of_prepared_rows() -> None:
    white = np.full((2, 4, 4, 3), 255, np.uint8)
    tokens = np.array([[5, 6, 0, 0], [5, 0, 0, 0]], np.int32)
    found = features({"image": white, "tokens": tokens})
    assert {name: values.tolist() for name, values in found.items()} == {BRIGHTNESS: [1, 1], LENGTH: [2, 1]}
