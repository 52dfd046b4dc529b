"""Every augmentation: what it may change of a batch, what its draws depend on, and that it can do nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from jobs.data.augment import Augment, SpecialTokens
from jobs.data.augment.draws import Draws

EXAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # fields that change rows, and fields that change none
    "colour_jitter": ({"hue": 0.1}, {"brightness": 0, "contrast": 0, "saturation": 0}),
    "crop": ({"padding": 3}, {"padding": 0}),
    "cutmix": ({}, {"probability": 0}),
    "cutout": ({"size": 5}, {"size": 0}),
    "flip": ({"vertical": 0.5}, {"horizontal": 0}),
    "mixup": ({"alpha": 0.8}, {"probability": 0}),
    "rand_augment": ({"operations": 3, "magnitude": 7}, {"operations": 0}),
    "random_deletion": ({"share": 0.3}, {"share": 0}),
    "rotate": ({"degrees": 40}, {"degrees": 0}),
    "token_dropout": ({"share": 0.3}, {"share": 0}),
    "translate": ({"height": 0.3, "width": 0.3}, {"height": 0, "width": 0}),
    "word_swap": ({"share": 0.3}, {"share": 0}),
    "zoom": ({"low": 0.6, "high": 1.5}, {"low": 1, "high": 1}),
}
KINDS = sorted(EXAMPLES)
SHAPES = [(10, 12, 3), (12, 10, 1), (8, 8, 3)]
SPECIAL = SpecialTokens(frozenset({0, 2, 3}), unknown=1)


def test_every_augmentation_is_under_contract() -> None:
    ours = {tag for tag, cls in Augment.members().items() if cls.__module__.startswith("jobs.")}
    assert ours == set(EXAMPLES)


def strong(kind: str) -> Augment:
    return Augment.choose({"kind": kind, **EXAMPLES[kind][0]})


def weak(kind: str) -> Augment:
    return Augment.choose({"kind": kind, **EXAMPLES[kind][1]})


def draws(seed: int = 0, train_step: int = 5, rows: int = 16, name: str = "0/it") -> Draws:
    return Draws(seed, name, train_step, np.arange(rows) * 7)


def images(rows: int = 16, shape: tuple[int, ...] = SHAPES[0]) -> NDArray[np.float32]:
    return np.random.default_rng(1).integers(0, 256, (rows, *shape)).astype(np.float32)


def texts(rows: int = 16, length: int = 12) -> NDArray[np.int32]:
    """Texts of three words and more, between the tokens 2 and 3."""
    stream = np.random.default_rng(1)
    x = stream.integers(4, 1_000, (rows, length)).astype(np.int32)
    ends = stream.integers(4, length, rows)
    x[:, 0] = 2
    x[np.arange(rows), ends] = 3
    x[np.arange(length) > ends[:, None]] = 0
    return x


def batch(kind: Augment) -> NDArray[Any]:
    return images() if kind.modality == "image" else texts()


def run(kind: Augment, x: NDArray[Any], drawn: Draws) -> NDArray[Any]:
    """Apply or mix: the partner of each row is the inverse of its neighbour."""
    if not kind.mixes:
        return kind.apply(x, drawn, SPECIAL)
    mixed, share = kind.mix(x, 255 - np.roll(x, 1, 0), drawn)
    assert share.shape == (len(x),)
    assert share.dtype == np.float32
    assert ((share >= 0) & (share <= 1)).all()
    return mixed


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_keep_shape_type_and_range_and_the_batch_is_changed(kind: str, shape: tuple[int, ...]) -> None:
    chosen = strong(kind)
    x = images(shape=shape) if chosen.modality == "image" else texts(length=shape[0])
    before = x.copy()
    made = run(chosen, x, draws())
    np.testing.assert_array_equal(x, before)  # never written into
    assert (made.shape, made.dtype) == (x.shape, x.dtype)
    assert made.min() >= 0
    assert made.max() <= (255 if chosen.modality == "image" else 999)
    changed = (made != x).reshape(len(x), -1).any(1)
    assert changed.mean() >= 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_changed_at_no_strength(kind: str) -> None:
    for x in [images(), images(shape=(7, 9, 1))] if weak(kind).modality == "image" else [texts()]:
        np.testing.assert_array_equal(run(weak(kind), x, draws()), x)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_rows_are_changed_differently(kind: str) -> None:
    chosen = strong(kind)
    x = np.repeat(batch(chosen)[3:4], 16, 0)
    assert len(np.unique(run(chosen, x, draws()).reshape(16, -1), axis=0)) >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_draws_depend_on_seed_train_step_and_place_in_the_list_alone(kind: str) -> None:
    chosen = strong(kind)
    x = batch(chosen)
    made = run(chosen, x, draws())
    np.testing.assert_array_equal(run(chosen, x, draws()), made)
    for other in (draws(seed=1), draws(train_step=6), draws(name="1/it")):
        assert (run(chosen, x, other) != made).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_changed_the_same_in_any_company(kind: str) -> None:
    chosen = strong(kind)
    x, some = batch(chosen), np.array([11, 2, 5])
    drawn = Draws(0, "0/it", 5, draws().rows[some])
    if chosen.mixes:
        partner = 255 - np.roll(x, 1, 0)
        whole, part = chosen.mix(x, partner, draws()), chosen.mix(x[some], partner[some], drawn)
        np.testing.assert_array_equal(part[1], whole[1][some])
        np.testing.assert_array_equal(part[0], whole[0][some])
    else:
        np.testing.assert_array_equal(chosen.apply(x[some], drawn, SPECIAL), run(chosen, x, draws())[some])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if strong(kind).modality == "image"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 5, 1), (2, 2, 3)])
def test_the_smallest_images_survive(kind: str, shape: tuple[int, ...]) -> None:
    made = run(strong(kind), images(4, shape), draws(rows=4))
    assert made.shape == (4, *shape)
    assert np.isfinite(made).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if strong(kind).modality == "text"])
def test_special_tokens_stay_and_padding_stays_at_the_end(kind: str) -> None:
    x = texts()
    made = run(strong(kind), x, draws())
    assert (made[:, 0] == 2).all()
    assert ((made == 3).sum(1) == 1).all()
    for row, source in zip(made, x, strict=True):
        end = int((row != 0).sum())
        assert row[end - 1] == 3
        assert (row[end:] == 0).all()
        assert set(row[1 : end - 1]) - {1} <= set(source)
        assert end > 2  # a word is left


@pytest.mark.parametrize("kind", [kind for kind in KINDS if strong(kind).modality == "text"])
def test_texts_without_words_stay_as_they_are(kind: str) -> None:
    x = np.array([[0, 0, 0, 0], [2, 3, 0, 0]], np.int32)
    np.testing.assert_array_equal(run(strong(kind), x, draws(rows=2)), x)
