"""How far rankings agree: what is known of small examples."""

from __future__ import annotations

import pytest

from jobs.searching.agreement import kendall
from jobs.searching.methods.supernet import spread


def test_agreement_is_one_for_the_same_order_and_minus_one_for_the_reverse() -> None:
    assert kendall([1, 2, 3, 4], [10, 20, 30, 40]) == 1
    assert kendall([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    assert kendall([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    assert kendall([12, 2, 1, 12, 2], [1, 4, 7, 1, 0]) == pytest.approx(-0.47140452)  # SciPy's own example
    assert kendall([1, 1], [1, 2]) is None


def test_places_are_spread_from_the_first_to_the_last() -> None:
    assert list(spread(36, 8)) == [0, 5, 10, 15, 20, 25, 30, 35]
    assert list(spread(3, 8)) == [0, 1, 2]
    assert list(spread(9, 1)) == [0]
