from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cluster.errors import StepError
from jobs.data.shards import ShardWriter, read, read_texts
from tests.jobs.data.making import pixels


def test_rows_written_batch_by_batch_are_read_as_one_array(tmp_path: Path) -> None:
    x = pixels(height=600).reshape(100, 6, 12, 3)
    writer = ShardWriter(tmp_path / "spool", (6, 12, 3))
    for start in range(0, 100, 7):
        writer.append(x[start : start + 7], np.arange(start, min(start + 7, 100), dtype=np.int32))
    writer.close(tmp_path / "train.arrow")
    rows = read(tmp_path / "train.arrow")
    assert np.array_equal(rows.x, x)
    assert np.array_equal(rows.y, np.arange(100))
    assert [path.name for path in tmp_path.iterdir()] == ["train.arrow"]


def test_rows_are_a_view_of_the_file_and_cannot_be_written(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "spool", (4,), "int32")
    writer.append(np.arange(12, dtype=np.int32).reshape(3, 4), [0, 1, 0])
    writer.close(tmp_path / "train.arrow")
    rows = read(tmp_path / "train.arrow")
    assert not rows.x.flags.owndata
    assert not rows.x.flags.writeable


def test_gather_copies_rows_in_the_order_asked(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "spool", (2,), "int32")
    writer.append(np.arange(20, dtype=np.int32).reshape(10, 2), list(range(10)))
    writer.close(tmp_path / "train.arrow")
    x, y = read(tmp_path / "train.arrow").gather(np.array([9, 0, 9]))
    assert x.tolist() == [[18, 19], [0, 1], [18, 19]]
    assert y.tolist() == [9, 0, 9]
    assert x.flags.c_contiguous
    assert x.flags.writeable


def test_texts_of_two_writers_are_joined_and_relabelled(tmp_path: Path) -> None:
    first, second = ShardWriter(tmp_path / "a", None), ShardWriter(tmp_path / "b", None)
    first.append(["eins", "zwei 👋"], [0, 1])
    second.append(["", "drei"], [1, 0])
    first.extend(second)
    first.append(["vier"], [0])
    first.close(tmp_path / "train.arrow", np.array([1, 0], np.int32))
    texts = read_texts(tmp_path / "train.arrow")
    assert list(texts) == ["eins", "zwei 👋", "", "drei", "vier"]
    assert texts.y.tolist() == [1, 0, 0, 1, 1]
    assert [len(batch) for batch in texts.batches(2)] == [2, 2, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["train.arrow"]


def test_a_shard_is_a_plain_arrow_file(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "spool", (2,))
    writer.append(np.array([[1, 2]], np.uint8), [3])
    writer.close(tmp_path / "train.arrow")
    table = pa.ipc.open_file(str(tmp_path / "train.arrow")).read_all()
    assert table.to_pydict() == {"x": [b"\x01\x02"], "label": [3]}


def test_no_rows_make_an_empty_shard(tmp_path: Path) -> None:
    ShardWriter(tmp_path / "spool", (2, 3)).close(tmp_path / "x.arrow")
    ShardWriter(tmp_path / "spool", None).close(tmp_path / "t.arrow")
    assert read(tmp_path / "x.arrow").x.shape == (0, 2, 3)
    assert list(read_texts(tmp_path / "t.arrow")) == []


def test_a_missing_a_foreign_and_a_text_shard_are_named(tmp_path: Path) -> None:
    (tmp_path / "foreign.arrow").write_bytes(b"not arrow at all")
    ShardWriter(tmp_path / "spool", None).close(tmp_path / "text.arrow")
    with pytest.raises(StepError, match=r"missing\.arrow: does not exist, wanted a shard; the data set has no such"):
        read(tmp_path / "missing.arrow")
    with pytest.raises(StepError, match=r"foreign\.arrow: is not an Arrow file \(.*\), wanted a shard; make the data"):
        read(tmp_path / "foreign.arrow")
    with pytest.raises(StepError, match=r"text\.arrow: holds texts, wanted prepared rows; encode it first$"):
        read(tmp_path / "text.arrow")
