"""What is said of probabilities and differences, against values worked out by hand and by other libraries."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss

from jobs.runtime.calibration import calibration, fit_temperature, reliability
from jobs.runtime.curves import LEVELS, curves
from jobs.runtime.intervals import compared, mcnemar, one_sided, paired, wilson
from jobs.runtime.rejection import accepted, risk_coverage, threshold_for_accuracy, threshold_for_coverage
from jobs.runtime.runner import softmax


def drawn(rows: int, classes: int, sharpness: float = 1.0) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return logits, and labels drawn from the softmax of those logits times `sharpness`."""
    random = np.random.default_rng(5)
    logits = random.normal(size=(rows, classes)).astype(np.float32) * 3
    shares = softmax(logits * np.float32(sharpness)).cumsum(1)
    return logits, (random.random((rows, 1)) > shares).sum(1).clip(0, classes - 1).astype(np.int32)


def test_calibration_error_by_hand() -> None:
    """Two rows at 0.9, one of them right, lie in the 14th of 15 bins; two at 0.55, both right, in the 9th."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.45, 0.55], [0.45, 0.55]], np.float32)
    found = calibration(probabilities, np.array([0, 1, 1, 1], np.int32))
    assert [(b["bin"], b["rows"], b["accuracy"]) for b in found["bins"]] == [(8, 2, 1.0), (13, 2, 0.5)]
    assert found["ece"] == pytest.approx(0.5 * abs(1 - 0.55) + 0.5 * abs(0.5 - 0.9), abs=1e-6)


def test_likelihood_and_brier_against_scikit_learn() -> None:
    logits, true = drawn(500, 4)
    probabilities = softmax(logits)
    found = calibration(probabilities, true)
    assert found["nll"] == pytest.approx(log_loss(true, probabilities, labels=range(4)), abs=1e-6)
    one_hot = np.eye(4)[true]
    by_class = sum(brier_score_loss(one_hot[:, i], probabilities[:, i]) for i in range(4))
    assert found["brier"] == pytest.approx(by_class, abs=1e-6)


def test_bins_hold_every_row_even_at_the_ends() -> None:
    bins = reliability(np.array([0.0, 1.0, 1 / 15]), np.array([False, True, True]))
    assert [(b["bin"], b["rows"]) for b in bins] == [(0, 2), (14, 1)]


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 2.5])
def test_the_temperature_is_the_likeliest_and_mends_the_calibration(sharpness: float) -> None:
    logits, true = drawn(20_000, 5, sharpness)
    temperature = fit_temperature(logits, true)
    assert temperature == pytest.approx(1 / sharpness, rel=0.05)
    best = minimize_scalar(
        lambda log: log_loss(true, softmax(logits / np.float32(np.exp(log))), labels=range(5)), bounds=(-3, 3)
    )
    assert temperature == pytest.approx(float(np.exp(best.x)), rel=0.01)
    sharpened = (logits / temperature).astype(np.float32)
    before, after = (calibration(softmax(z), true)["ece"] for z in (logits, sharpened))
    assert after < 0.012
    assert sharpness == 1.0 or after < before / 4


def test_without_a_mistake_the_temperature_stays_finite_and_grows_surer_with_rows() -> None:
    sure = []
    for rows in (20, 2_000):
        logits = np.tile(np.array([[2.0, 0.0]], np.float32), (rows, 1))
        temperature = fit_temperature(logits, np.zeros(rows, np.int32))
        sure.append(float(softmax(logits / np.float32(temperature))[0, 0]))
    assert sure[0] == pytest.approx(1 - 0.5 / 22, abs=1e-4)  # one row in 22, shared by two classes, is let be wrong
    assert sure[0] < sure[1] < 1


def test_wilson_of_published_examples() -> None:
    """Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@pytest.mark.parametrize(("right", "rows"), [(0, 7), (7, 7), (1_188, 1_200), (3, 4)])
def test_wilson_against_scipy(right: int, rows: int) -> None:
    interval = binomtest(right, rows).proportion_ci(0.95, method="wilson")
    assert wilson(right, rows) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(3, 3) == 1.0
    assert mcnemar(0, 6) == pytest.approx(2 / 2**6)
    assert mcnemar(9, 1) == mcnemar(1, 9) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar(700, 500) < 1e-8


def test_the_interval_of_a_paired_change_by_hand() -> None:
    """(15 + 1 - (24 + 1)) / 102, and its standard error from the same shares."""
    p, q = 16 / 102, 25 / 102
    reach = 1.959964 * ((p + q - (p - q) ** 2) / 102) ** 0.5
    assert paired(24, 15, 100) == pytest.approx((p - q - reach, p - q + reach), abs=1e-6)
    assert paired(24, 15, 100, one_sided(0.975)) == pytest.approx(paired(24, 15, 100))


def test_two_models_are_compared_on_the_same_rows() -> None:
    first = np.array([True] * 90 + [False] * 10)
    other = np.array([True] * 84 + [False] * 6 + [True] * 2 + [False] * 8)
    found = compared(first, other)
    assert (found["lost"], found["gained"], found["change"]) == (6, 2, pytest.approx(-0.04))
    assert found["p_value"] == pytest.approx(binomtest(2, 8).pvalue)
    assert found["low"] < -0.04 < found["high"]


def test_average_precision_against_scikit_learn_with_ties() -> None:
    logits, true = drawn(400, 3)
    probabilities = softmax(np.round(logits))  # many rows of one score, as a quantized file gives
    found = curves(probabilities, true)
    wanted = [average_precision_score(true == i, probabilities[:, i]) for i in range(3)]
    assert found["average_precision"] == pytest.approx(wanted)
    assert found["macro_average_precision"] == pytest.approx(np.mean(wanted))


def test_a_curve_is_the_precision_at_each_recall() -> None:
    """Ranked: right, wrong, right. Half the recall is reached at precision 1, all of it at 2/3."""
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]], np.float32)
    found = curves(probabilities, np.array([0, 1, 0], np.int32))
    curve = found["precision_at_recall"]["0"]
    assert len(curve) == LEVELS
    assert [curve[i] for i in (0, 25, 26, 50)] == [1.0, 1.0, 0.6667, 0.6667]
    assert found["average_precision"][0] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_a_class_without_rows_has_no_average_precision() -> None:
    found = curves(np.full((2, 3), 1 / 3, np.float32), np.array([0, 1], np.int32))
    assert found["average_precision"] == [0.5, 0.5, None]
    assert found["macro_average_precision"] == 0.5
    assert set(found["precision_at_recall"]) == {"0", "1"}


CONFIDENCE = np.array([0.95, 0.9, 0.9, 0.7, 0.6])
RIGHT = np.array([True, True, False, True, False])


@pytest.mark.parametrize(
    ("accuracy", "threshold"),
    [(0.6, 0.0), (0.75, 0.7), (0.9, 0.95), (1.0, 0.95), (0.5, 0.0)],
)
def test_the_least_threshold_that_reaches_an_accuracy(accuracy: float, threshold: float) -> None:
    assert threshold_for_accuracy(CONFIDENCE, RIGHT, accuracy) == threshold


def test_no_threshold_reaches_what_the_surest_row_does_not() -> None:
    assert threshold_for_accuracy(CONFIDENCE, ~RIGHT, 0.9) is None


def test_thresholds_for_coverage_accept_at_least_as_many_rows() -> None:
    assert [threshold_for_coverage(CONFIDENCE, c) for c in (1.0, 0.8, 0.5, 0.2)] == [0.0, 0.7, 0.9, 0.95]


def test_accepted_rows_are_judged_on_the_test_split() -> None:
    found = accepted(CONFIDENCE, RIGHT, 0.9)
    assert (found["rows"], found["coverage"], found["accuracy"]) == (3, 0.6, pytest.approx(2 / 3))
    assert (found["low"], found["high"]) == pytest.approx(wilson(2, 3))
    none = accepted(CONFIDENCE, RIGHT, 0.99)
    assert (none["rows"], none["coverage"], none["accuracy"]) == (0, 0.0, None)


def test_risk_falls_with_coverage_where_confidence_tells() -> None:
    logits, true = drawn(4_000, 4)
    probabilities = softmax(logits)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == true
    table = risk_coverage((confidence[:2_000], right[:2_000]), (confidence[2_000:], right[2_000:]))
    assert [row["aimed"] for row in table] == [1.0, 0.99, 0.95, 0.9, 0.8, 0.7, 0.5]
    assert [row["coverage"] for row in table] == pytest.approx([1.0, 0.99, 0.95, 0.9, 0.8, 0.7, 0.5], abs=0.03)
    assert table[0]["accuracy"] == pytest.approx(right[2_000:].mean())
    assert table[-1]["accuracy"] > table[0]["accuracy"] + 0.1
