"""The draws are as random as they must be, and depend on their key alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from jobs.data.augment.draws import Draws

ROWS = np.arange(20_000)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return abs(float(np.corrcoef(a, b)[0, 1]))


@pytest.mark.parametrize("key", [(0, "a", 0), (0, "a", 1), (1, "a", 0), (2**31 - 1, "b", 10**9)])
def test_uniform_draws_are_uniform(key: tuple[int, str, int]) -> None:
    drawn = Draws(*key, ROWS).uniform("x", 4)
    assert drawn.shape == (20_000, 4)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert drawn.mean() == pytest.approx(1 / 2, abs=0.005)
    assert drawn.var() == pytest.approx(1 / 12, abs=0.002)
    for column in drawn.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3


def test_neighbouring_rows_counters_steps_seeds_and_names_are_independent() -> None:
    base = Draws(3, "a", 7, ROWS).uniform("x", 2)
    limit = 4 / np.sqrt(len(ROWS))  # four standard deviations
    assert correlation(base[:-1, 0], base[1:, 0]) < limit
    assert correlation(base[:, 0], base[:, 1]) < limit
    for other in (
        Draws(4, "a", 7, ROWS).uniform("x"),
        Draws(3, "b", 7, ROWS).uniform("x"),
        Draws(3, "a", 8, ROWS).uniform("x"),
        Draws(3, "a", 7, ROWS).uniform("y"),
    ):
        assert correlation(base[:, 0], other[:, 0]) < limit
    pairs, _, _ = np.histogram2d(base[:-1, 0], base[1:, 0], bins=10)
    assert stats.chisquare(pairs.ravel()).pvalue > 1e-3


def test_a_rows_draws_depend_on_the_row_alone() -> None:
    whole = Draws(1, "a", 2, ROWS).uniform("x", 3)
    some = np.array([17, 3, 19_999])
    np.testing.assert_array_equal(Draws(1, "a", 2, some).uniform("x", 3), whole[some])
    np.testing.assert_array_equal(Draws(1, "a", 2, some).uniform("x", 1), whole[some, :1])


def test_integers_reach_every_value_alike_and_no_other() -> None:
    values, counts = np.unique(Draws(0, "a", 0, ROWS).integers("x", -2, 3), return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 2.0, 40.0])
def test_beta_draws_follow_the_symmetric_beta_distribution(alpha: float) -> None:
    drawn = Draws(5, "a", 0, ROWS).beta("x", alpha)
    assert np.isfinite(drawn).all()
    assert stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    assert drawn.mean() == pytest.approx(0.5, abs=0.02)
    assert drawn.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_chances_have_their_probability() -> None:
    drawn = Draws(0, "a", 0, ROWS)
    assert drawn.chance("x", 0.3).mean() == pytest.approx(0.3, abs=0.015)
    assert not drawn.chance("x", 0.0).any()
    assert drawn.chance("x", 1.0).all()
