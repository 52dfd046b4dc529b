from __future__ import annotations

from collections import Counter

import pytest

from jobs.data.intake.splits import Stratifier


def dealt(labels: list[str], validation: float = 0.1, test: float = 0.1, seed: int = 0) -> list[str]:
    dealer = Stratifier(validation, test, seed)
    return [dealer.split(label) for label in labels]


def test_every_class_is_split_in_proportion() -> None:
    labels = ["a", "b", "b", "b"] * 500
    splits = dealt(labels)
    assert Counter(split for split, label in zip(splits, labels, strict=True) if label == "a") == {
        "train": 400,
        "validation": 50,
        "test": 50,
    }
    assert Counter(splits) == {"train": 1_600, "validation": 200, "test": 200}


@pytest.mark.parametrize(("validation", "test"), [(0.15, 0.05), (0.33, 0.33), (0.01, 0.0), (0.5, 0.2)])
def test_uneven_shares_come_out_even_in_the_long_run(validation: float, test: float) -> None:
    found = Counter(dealt(["a"] * 10_000, validation, test))
    assert abs(found["validation"] - 10_000 * validation) <= 1
    assert abs(found["test"] - 10_000 * test) <= 1


def test_the_seed_decides_and_nothing_else_does() -> None:
    labels = ["a", "b"] * 200
    assert dealt(labels, seed=1) == dealt(labels, seed=1)
    assert dealt(labels, seed=1) != dealt(labels, seed=2)


def test_rows_of_other_classes_do_not_change_a_row_s_split() -> None:
    alone = dealt(["a"] * 100)
    among = dealt(["a", "b", "c"] * 100)[::3]
    assert alone == among


def test_the_first_row_of_a_class_is_for_training() -> None:
    for seed in range(50):
        assert dealt(["a"], 0.4, 0.4, seed) == ["train"]
