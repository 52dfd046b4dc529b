from typing import Any

import numpy as np
import pytest

from jobs.data.feed import Feed


class Numbers:
    """Rows that are their own indices."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def gather(self, indices: Any) -> tuple[Any, Any]:
        return np.asarray(indices, np.uint8)[:, None], np.asarray(indices, np.int32)


@pytest.mark.parametrize(("rows", "batch", "replicas"), [(10, 4, 1), (10, 4, 2), (10, 4, 3), (13, 5, 4), (9, 8, 4)])
def test_every_row_is_seen_once_an_epoch_for_any_number_of_replicas(rows: int, batch: int, replicas: int) -> None:
    feed = Feed(Numbers(rows), batch, seed=3)
    for epoch in range(2):
        seen: list[int] = []
        for step in range(epoch * feed.steps, (epoch + 1) * feed.steps):
            share = 0.0
            for replica in range(replicas):
                shard = feed.read(step, replica, replicas)
                seen += [int(v) for v, w in zip(shard.y, shard.weights, strict=True) if w]
                share += float(shard.weights.sum() * shard.scale)
            assert share == pytest.approx(1)  # the weights of a global batch sum to one mean
        assert sorted(seen) == list(range(rows))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    first, again, other = (Feed(Numbers(50), 8, seed) for seed in (1, 1, 2))
    again.order(7)  # looking elsewhere changes nothing
    np.testing.assert_array_equal(first.order(0), again.order(0))
    assert (first.order(0) != first.order(1)).any()
    assert (first.order(0) != other.order(0)).any()
    np.testing.assert_array_equal(Feed(Numbers(5), 2, None).order(3), np.arange(5))


def test_a_replica_without_rows_gets_one_of_weight_zero() -> None:
    batch = Feed(Numbers(9), 8, None).read(1, 0, 2)
    assert (len(batch.x), len(batch.y), batch.weights.tolist(), float(batch.scale)) == (1, 1, [0.0], 1.0)


def test_batches_go_on_from_any_train_step() -> None:
    feed = Feed(Numbers(10), 4, seed=0)
    batches = feed.batches(start=2, first=0, local=1, replicas=1).take(2)
    found = [batch.y.numpy().tolist() for batch in batches]
    assert found == [feed.read(2, 0, 1).y.tolist(), feed.read(3, 0, 1).y.tolist()]


class Named(Numbers):
    def gather(self, indices: Any) -> tuple[Any, Any]:
        x, y = super().gather(indices)
        return {"tokens": x.astype(np.int32), "image": x}, y


def test_rows_of_several_inputs_and_a_teachers_logits_come_along() -> None:
    teacher = np.arange(20, dtype=np.float32).reshape(10, 2)
    feed = Feed(Named(10), 4, 0, teacher)
    for batch in feed.batches(start=0, first=0, local=1, replicas=1).take(2):
        rows = batch.y.numpy()
        np.testing.assert_array_equal(batch.x["tokens"][:, 0], rows)
        np.testing.assert_array_equal(batch.x["image"][:, 0], rows.astype(np.float32))
        np.testing.assert_array_equal(batch.teacher, teacher[rows])
