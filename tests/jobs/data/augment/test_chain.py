"""What a feed makes of a list of augmentations: for any number of replicas, from any train step, in order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from jobs.data.augment import Augment, problems
from jobs.data.augment.chain import partners
from jobs.data.feed import Feed

COUNT = 26


class Pictures:
    """Images whose label is their number, with or without a text beside each."""

    def __init__(self, texts: bool = False) -> None:
        self.image = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3)).astype(np.uint8)
        self.tokens = np.random.default_rng(1).integers(2, 50, (COUNT, 6)).astype(np.int32) if texts else None

    def __len__(self) -> int:
        return COUNT

    def gather(self, indices: Any) -> tuple[Any, Any]:
        image = self.image.take(indices, 0)
        both = image if self.tokens is None else {"image": image, "tokens": self.tokens.take(indices, 0)}
        return both, np.asarray(indices, np.int32)


def kinds(*fields: str | dict[str, Any]) -> list[Augment]:
    return [Augment.choose({"kind": f} if isinstance(f, str) else f) for f in fields]


def feed(*fields: str | dict[str, Any], seed: int = 4, texts: bool = False) -> Feed:
    return Feed(Pictures(texts), 8, seed, augment=kinds(*fields))


def whole(source: Feed, train_step: int, replicas: int) -> list[Any]:
    """Return (x, y, other, share) of a global batch, put together from its replicas' shards."""
    shards = [source.read(train_step, replica, replicas) for replica in range(replicas)]
    kept = [shard.weights > 0 for shard in shards]
    return [np.concatenate([shard[part][k] for shard, k in zip(shards, kept, strict=True)]) for part in range(4)]


CHAIN = ("crop", "flip", {"kind": "rotate", "degrees": 20}, {"kind": "mixup", "alpha": 1.0}, "cutout")


@pytest.mark.parametrize("mixing", [{"kind": "mixup", "alpha": 1.0}, "cutmix", "colour_jitter"])
@pytest.mark.parametrize("replicas", [2, 3, 4])
def test_rows_do_not_depend_on_the_number_of_replicas(mixing: Any, replicas: int) -> None:
    source = feed("crop", "rand_augment", mixing, "cutout")
    for train_step in (0, 3, 6):  # the fourth batch has two rows
        for found, wanted in zip(whole(source, train_step, replicas), whole(source, train_step, 1), strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_a_feed_begun_anywhere_reads_what_an_unbroken_one_reads() -> None:
    unbroken, resumed = feed(*CHAIN), feed(*CHAIN)
    for train_step in range(6):
        wanted = unbroken.read(train_step, 0, 1)
        if train_step >= 4:
            for found, part in zip(resumed.read(train_step, 0, 1), wanted, strict=True):
                np.testing.assert_array_equal(found, part)
    assert (feed(*CHAIN, seed=5).read(4, 0, 1).x != unbroken.read(4, 0, 1).x).any()


def test_a_row_differs_from_epoch_to_epoch() -> None:
    source = feed("crop")
    shown = [
        batch.x[batch.y == 3] for batch in (source.read(step, 0, 1) for step in range(4 * source.steps)) if 3 in batch.y
    ]
    assert len(shown) == 4
    assert any((one != other).any() for one, other in pairwise(shown))


def test_the_order_of_the_list_counts() -> None:
    black, grey = ({"kind": "cutout", "size": 5, "fill": fill} for fill in ("black", "grey"))
    one, other = (feed(*order).read(0, 0, 1).x for order in ((black, grey), (grey, black)))
    assert (one != other).any()
    turn = {"kind": "rotate", "degrees": 40, "fill": "black"}
    assert (feed(black, turn).read(0, 0, 1).x != feed(turn, black).read(0, 0, 1).x).any()


def test_two_of_a_kind_draw_for_themselves() -> None:
    twice = feed(*[{"kind": "flip", "horizontal": 0.5}] * 2).read(0, 0, 1)
    raw = Pictures().image[twice.y].astype(np.float32)
    assert (twice.x != raw).any()  # the second does not undo the first everywhere


def test_mixed_rows_bring_their_partners_label_and_both_went_through_what_came_before() -> None:
    before = feed("flip")
    mixed = feed("flip", {"kind": "mixup", "alpha": 1.0})
    x, y, _, _ = whole(before, 1, 1)
    by_label = dict(zip(y.tolist(), x, strict=True))
    found, own, other, share = whole(mixed, 1, 4)
    assert (own != other).all()
    assert sorted(own) == sorted(other)  # each is a partner once
    for row, label, partner, weight in zip(found, own.tolist(), other.tolist(), share, strict=True):
        np.testing.assert_allclose(row, weight * by_label[label] + (1 - weight) * by_label[partner], atol=1e-3)


def test_without_mixing_a_row_is_its_own_label_alone() -> None:
    batch = feed("flip").read(0, 0, 1)
    np.testing.assert_array_equal(batch.other, batch.y)
    np.testing.assert_array_equal(batch.share, np.ones(8, np.float32))


def test_partners_are_drawn_anew_each_train_step_and_a_lone_row_is_its_own() -> None:
    batch = np.array([40, 7, 19, 3, 88])
    first, second = (partners(0, step, batch, batch) for step in (0, 1))
    assert (first != batch).all()
    assert (first != second).any()
    np.testing.assert_array_equal(partners(0, 0, batch[[3, 1]], batch), first[[3, 1]])
    np.testing.assert_array_equal(partners(0, 0, batch[:1], batch[:1]), batch[:1])


def test_of_two_inputs_each_is_changed_by_its_own_kinds() -> None:
    both = feed("flip", {"kind": "token_dropout", "share": 0.5}, texts=True).read(0, 0, 1)
    raw = Pictures(texts=True)
    changed = both.x["tokens"] != raw.tokens.take(both.y, 0)  # type: ignore[union-attr]
    assert 0.2 < changed.mean() < 0.8
    assert (both.x["tokens"][changed] == 1).all()
    pictures = raw.image[both.y].astype(np.float32)
    for row, source in zip(both.x["image"], pictures, strict=True):
        assert (row == source).all() or (row == source[:, ::-1]).all()
    assert (both.x["image"] != pictures).any()


def test_rows_read_in_order_are_never_augmented() -> None:
    with pytest.raises(AssertionError, match="rows that are read in order are judged on, and stay as they are"):
        Feed(Pictures(), 8, None, augment=kinds("flip"))


TWICE = "mixes rows that are mixed already, and a label is shared by two rows only; choose one"


@pytest.mark.parametrize(
    ("modality", "listed", "wrong"),
    [
        ("image", ["flip", "mixup"], []),
        ("image_text", ["flip", "word_swap"], []),
        ("text", ["word_swap", "flip"], [(1, "changes images, but the model reads text rows")]),
        ("image", ["random_deletion"], [(0, "changes texts, but the model reads image rows")]),
        ("image", ["mixup", "flip", "cutmix"], [(2, TWICE)]),
        ("image_text", ["cutmix"], [(0, "mixes images, and the text beside each would belong to one of the two only")]),
    ],
)  # fmt: skip
def test_what_cannot_be_augmented_is_said(modality: str, listed: list[str], wrong: list[tuple[int, str]]) -> None:
    assert list(problems(kinds(*listed), modality)) == wrong
    if modality == "text":
        assert list(problems(kinds("word_swap"), modality, strings=True)) == [
            (0, "changes tokens, but the model is given the text itself")
        ]
