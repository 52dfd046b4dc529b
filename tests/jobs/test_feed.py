from typing import Any

import numpy as np
import pytest

from jobs.data.feed import Feed, apart


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
    batch = Feed(Numbers(3), 8, None).read(0, 0, 4)
    assert (len(batch.x), len(batch.y), batch.weights.tolist()) == (1, 1, [0.0])
    assert float(batch.scale) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("rows", "sizes"), [(40, [10] * 4), (35, [10, 10, 10, 5]), (34, [10, 10, 7, 7]), (31, [10, 10, 6, 5]), (3, [3])]
)
def test_the_last_two_batches_share_their_rows_where_few_are_left(rows: int, sizes: list[int]) -> None:
    feed = Feed(Numbers(rows), 10, None)
    assert [len(feed.batch(step)) for step in range(feed.steps)] == sizes
    assert np.concatenate([feed.batch(step) for step in range(feed.steps)]).tolist() == list(range(rows))


@pytest.mark.parametrize("replicas", [2, 4, 8])
def test_no_replica_is_without_rows_where_a_batch_has_two_for_each(replicas: int) -> None:
    for rows in range(16, 64):
        feed = Feed(Numbers(rows), 16, seed=1)
        shards = [feed.shard(step, replica, replicas) for step in range(feed.steps) for replica in range(replicas)]
        assert all(map(len, shards)), rows


@pytest.mark.parametrize(
    ("rows", "most", "runs"),
    [
        (40, 64, [(0, 8)]),  # two epochs of four batches of ten
        (40, 3, [(0, 3), (3, 3), (6, 2)]),
        (35, 64, [(0, 3), (3, 1), (4, 3), (7, 1)]),
        (35, 2, [(0, 2), (2, 1), (3, 1), (4, 2), (6, 1), (7, 1)]),
        (32, 64, [(0, 2), (2, 2), (4, 2), (6, 2)]),
        (33, 64, [(0, 2), (2, 1), (3, 1), (4, 2), (6, 1), (7, 1)]),
        (5, 64, [(0, 8)]),
        (5, 3, [(0, 3), (3, 3), (6, 2)]),
    ],
)
def test_runs_of_train_steps_keep_a_smaller_batch_apart(rows: int, most: int, runs: list[tuple[int, int]]) -> None:
    feed = Feed(Numbers(rows), 10, None)
    assert list(feed.alike(0, 8, most)) == runs
    assert all(len({len(feed.batch(s)) for s in range(at, at + count)}) == 1 for at, count in runs)


# (rows, batch, first replica, replicas here, all replicas): whole and ragged ends, shards of unequal size
SPREADS = [(100, 10, 0, 1, 1), (103, 10, 0, 1, 1), (103, 10, 1, 2, 3), (25, 8, 3, 1, 4), (9, 8, 0, 4, 4)]


@pytest.mark.parametrize("together", [0, 100, 1 << 20])
@pytest.mark.parametrize(("rows", "batch", "first", "local", "replicas"), SPREADS)
def test_batches_are_the_shards_in_order_from_any_train_step(
    rows: int, batch: int, first: int, local: int, replicas: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.data.feed.TOGETHER", together)
    feed = Feed(Numbers(rows), batch, seed=0)
    for start in (0, 1, feed.steps + 1):
        found = feed.batches(start, first, local, replicas).take(local * (feed.steps + 2)).as_numpy_iterator()
        for shard, batch_found in enumerate(found):
            wanted = feed.read(start + shard // local, first + shard % local, replicas)
            for part, part_wanted in zip(batch_found, wanted, strict=True):
                assert part.dtype == part_wanted.dtype
                np.testing.assert_array_equal(part, part_wanted)


def test_bytes_stay_bytes_until_the_model_makes_floats_of_them() -> None:
    import tf_keras as keras

    batch = next(iter(Feed(Numbers(10), 10, None).batches(start=0, first=0, local=1, replicas=1)))
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Rescaling(0.5)(inputs))
    assert batch.x.dtype.name == "uint8"
    np.testing.assert_array_equal(model(batch.x)[:, 0], np.arange(10, dtype=np.float32) / 2)


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


def test_no_two_tensors_are_made_of_one_array() -> None:
    one, other = np.ones(3), np.zeros(3)
    found = apart([one, other, one])
    assert [list(array) for array in found] == [[1, 1, 1], [0, 0, 0], [1, 1, 1]]
    assert not np.shares_memory(found[0], found[2])
