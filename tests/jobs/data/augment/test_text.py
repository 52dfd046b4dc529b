"""Each augmentation of texts on texts short enough to read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jobs.data.augment import Augment, SpecialTokens
from jobs.data.augment.draws import Draws

ROWS = 300
SPECIAL = SpecialTokens(frozenset({0, 101, 102}), unknown=100)
X = np.tile(np.array([101, 11, 12, 13, 14, 15, 16, 102, 0, 0], np.int32), (ROWS, 1))
DRAWS = Draws(0, "0/it", 3, np.arange(ROWS))


def made(x: Any = X, **fields: Any) -> Any:
    return Augment.choose(fields).apply(x, DRAWS, SPECIAL)


def test_token_dropout_hides_words_at_its_rate_and_nothing_else() -> None:
    found = made(kind="token_dropout", share=0.25)
    hidden = found != X
    assert (found[hidden] == 100).all()
    assert not hidden[:, [0, 7, 8, 9]].any()
    assert hidden[:, 1:7].mean() == pytest.approx(0.25, abs=0.03)


def test_random_deletion_keeps_the_order_of_what_is_left() -> None:
    found = made(kind="random_deletion", share=0.25)
    lengths = set()
    for row in found:
        left = row[row != 0].tolist()
        assert row[len(left) :].tolist() == [0] * (10 - len(left))
        assert (left[0], left[-1]) == (101, 102)
        assert left[1:-1] == sorted(left[1:-1])
        lengths.add(len(left))
    assert lengths >= {5, 6, 7, 8}
    assert (found == 0).sum() - 2 * ROWS == pytest.approx(0.25 * 6 * ROWS, rel=0.12)


def test_random_deletion_never_empties_a_text() -> None:
    found = made(kind="random_deletion", share=0.99)
    words = (found != 0).sum(1) - 2
    assert words.min() == 1
    assert (words == 1).mean() > 0.9
    assert len(np.unique(found[:, 1])) == 6  # any of them may be the one that is left


def test_word_swap_exchanges_neighbours_only_and_none_twice() -> None:
    found = made(kind="word_swap", share=0.4)
    kept = {0: 101, 7: 102, 8: 0, 9: 0}
    for row in found:
        assert {place: int(row[place]) for place in kept} == kept
        assert sorted(row[1:7]) == [11, 12, 13, 14, 15, 16]
        assert np.abs(row[1:7] - np.arange(11, 17)).max() <= 1  # nothing moved further than one place
    assert (found != X).any(1).mean() > 0.7
    everywhere = made(kind="word_swap", share=0.999999)
    assert everywhere[0].tolist() == [101, 12, 11, 14, 13, 16, 15, 102, 0, 0]


def test_by_default_only_padding_is_special() -> None:
    x = np.array([[2, 3, 0]] * 50, np.int32)
    found = Augment.choose({"kind": "token_dropout", "share": 0.5}).apply(
        x, Draws(0, "0/it", 0, np.arange(50)), SpecialTokens()
    )
    assert set(np.unique(found[:, :2])) == {1, 2, 3}
    assert (found[:, 2] == 0).all()
