from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import StepError
from cluster.folder import FileFacts, Folder
from jobs.artifacts import Dataset
from jobs.data.encode import encoded
from jobs.data.feed import Feed
from jobs.data.preparing import preprocess_of
from jobs.data.remote.file import BLOCK, RemoteFile
from jobs.data.remote.shards import StreamedRows, StreamedTexts, open_rows, open_texts
from jobs.data.shards import ShardWriter, read, read_texts
from jobs.data.text import fit_word_pieces
from tests.jobs.data.making import made, pixels

ROWS, SHAPE = 3_000, (32, 32, 3)  # 9 MB: 36 blocks


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the node's cache inside the test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a local shard of images."""
    path = tmp_path_factory.mktemp("shard") / "train.arrow"
    writer = ShardWriter(path, SHAPE)
    images = pixels(1, ROWS * SHAPE[0], SHAPE[1]).reshape(ROWS, *SHAPE)
    writer.append(images, np.arange(ROWS, dtype=np.int32) % 7)
    writer.close(path)
    return path


@pytest.fixture
def remote(shard: Path, s3_root: Folder) -> Folder:
    """Return a folder on the object store with the shard."""
    s3_root.write_bytes("train.arrow", shard.read_bytes())
    return s3_root


def streamed(folder: Folder, ahead: bool = False) -> StreamedRows:
    rows = open_rows(folder, "train.arrow", ahead)
    assert isinstance(rows, StreamedRows)
    return rows


def test_the_first_batch_comes_before_most_of_the_shard(remote: Folder, shard: Path) -> None:
    rows, local = streamed(remote), read(shard)
    assert len(rows) == ROWS
    assert np.array_equal(rows.y, local.y)
    indices = np.array([1_500, 7, 1_501, 2_999])
    x, y = rows.gather(indices)
    assert np.array_equal(x, local.x[indices])
    assert np.array_equal(y, local.y[indices])
    assert rows.file.fetched <= 5 < rows.file.blocks == 36


def test_the_same_seed_gives_the_same_batches_wherever_the_shard_lies(remote: Folder, shard: Path) -> None:
    ahead, local = Feed(streamed(remote, ahead=True), 64, 3), Feed(read(shard), 64, 3)
    for step in range(ahead.steps + 2):
        one, other = ahead.read(step, 1, 2), local.read(step, 1, 2)
        assert np.array_equal(one.x, other.x)
        assert np.array_equal(one.y, other.y)
    ahead.rows.file.join()
    assert ahead.rows.file.fetched == ahead.rows.file.blocks, "each block is fetched once"


def test_what_was_fetched_ahead_is_not_asked_for_again(remote: Folder, shard: Path) -> None:
    rows = streamed(remote, ahead=True)
    rows.file.join()
    remote.delete()
    assert np.array_equal(rows.gather(np.arange(ROWS))[0], read(shard).x)
    assert np.array_equal(rows.x, read(shard).x)


def test_another_process_finds_what_one_has_fetched(remote: Folder, shard: Path) -> None:
    assert np.array_equal(streamed(remote).x, read(shard).x)
    again = streamed(remote)
    assert np.array_equal(again.x, read(shard).x)
    assert again.file.fetched == 0


def test_a_block_that_was_written_and_not_marked_is_fetched_again(remote: Folder, shard: Path, tmp_path: Path) -> None:
    first = streamed(remote)
    first.gather(np.arange(10))
    (data,) = tmp_path.glob("espalier-*/streamed/*/data")
    with data.open("r+b") as file:  # as a process leaves it that is killed between the two
        file.seek(20 * BLOCK)
        file.write(b"\xff" * BLOCK)
    assert np.array_equal(streamed(remote).x, read(shard).x)


GATHER = """
import sys
import numpy as np
from cluster.folder import FileFacts, Folder
from jobs.data.remote.shards import open_rows
rows = open_rows(Folder.parse(sys.argv[1]), "train.arrow", ahead=True)
order = np.random.default_rng(int(sys.argv[2])).permutation(len(rows))
total = sum(int(rows.gather(order[at:at + 100])[0].sum(dtype=np.int64)) for at in range(0, len(rows), 100))
rows.file.join()
print(total, rows.file.fetched)
"""


def test_processes_at_once_fetch_each_block_once(remote: Folder, shard: Path) -> None:
    commands = [[sys.executable, "-c", GATHER, str(remote), str(seed)] for seed in range(3)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    told = [[int(word) for word in process.communicate()[0].split()] for process in running]
    assert {total for total, _ in told} == {int(read(shard).x.sum(dtype=np.int64))}
    assert sum(fetched for _, fetched in told) == 36


def test_texts_are_read_by_stretches(s3_root: Folder, tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "train.arrow", None)
    texts = [f"é {n} " * 100 for n in range(5_000)]
    writer.append(["", *texts, ""], [0] * 5_002)
    writer.close(tmp_path / "train.arrow")
    s3_root.write_bytes("train.arrow", (tmp_path / "train.arrow").read_bytes())
    found = open_texts(s3_root, "train.arrow", ahead=False)
    assert isinstance(found, StreamedTexts)
    assert next(found.batches(3)) == ["", *texts[:2]]
    assert found.gather(np.array([4_000, 0]))[0].tolist() == [texts[3_999], ""]
    assert found.file.fetched < found.file.blocks
    assert list(found) == ["", *texts, ""]
    assert found.x.equals(read_texts(tmp_path / "train.arrow").x)


def test_a_shard_of_a_few_rows_and_one_that_is_missing(s3_root: Folder, tmp_path: Path) -> None:
    dataset, _ = made(tmp_path / "digits", {"kind": "digits"})
    for name in ("train.arrow", "validation.arrow"):
        s3_root.write_bytes(name, (tmp_path / "digits" / name).read_bytes())
    placed = dataset.at(s3_root)
    rows = encoded(placed, preprocess_of(placed), "validation")
    assert np.array_equal(rows.x, read(tmp_path / "digits" / "validation.arrow").x)
    with pytest.raises(
        StepError, match=r"test\.arrow: does not exist, wanted a shard; the data set has no such split$"
    ):
        encoded(placed, preprocess_of(placed), "test")


def test_token_ids_are_made_from_a_remote_shard(s3_root: Folder, tmp_path: Path) -> None:
    source = {"kind": "docstrings", "packages": ["json", "email"], "limit": 60}
    local, _ = made(tmp_path / "texts", source)
    for name in ("train.arrow", "validation.arrow", "test.arrow"):
        s3_root.write_bytes(name, (tmp_path / "texts" / name).read_bytes())
    far: Dataset = local.model_copy(update={"digest": "another"}).at(s3_root)  # or token ids would be found
    for place in ("far", "near"):
        (tmp_path / place).mkdir()
    pieces = fit_word_pieces(far, tmp_path / "far", 400, 12)
    assert fit_word_pieces(local, tmp_path / "near", 400, 12) == pieces
    one, other = (encoded(data, pieces, "train", tmp_path / "far") for data in (far, local))
    assert np.array_equal(one.x, other.x)


class Shrunk(Folder):
    """A folder of one file, which lost its end after it was listed."""

    def __init__(self) -> None:
        super().__init__("s3://bucket/shrunk")

    def facts(self, name: str) -> FileFacts:
        return FileFacts(4 * BLOCK, 0)

    def reader(self, name: str) -> Callable[[int, int], bytes]:
        return lambda start, length: bytes(2 * BLOCK + 5)[start : start + length]


def test_a_shard_that_is_no_arrow_file_or_ends_early_is_refused(s3_root: Folder) -> None:
    s3_root.write_bytes("bad.arrow", bytes(3 * BLOCK))
    with pytest.raises(StepError, match=r"bad\.arrow: is not an Arrow file \(.*\), wanted a shard; make the data set"):
        open_rows(s3_root, "bad.arrow")
    s3_root.write_bytes("none.arrow", b"")
    with pytest.raises(StepError, match=r"none\.arrow: is empty, wanted a shard; make the data set afresh$"):
        open_rows(s3_root, "none.arrow")
    with pytest.raises(StepError, match=rf"train\.arrow: ends after {2 * BLOCK + 5} bytes, wanted {4 * BLOCK}, as it"):
        RemoteFile(Shrunk(), "train.arrow").need(np.array([BLOCK]), np.array([3 * BLOCK]))


def test_what_is_needed_may_be_nothing(remote: Folder) -> None:
    file = RemoteFile(remote, "train.arrow")
    nothing: Any = np.array([], np.int64)
    file.need(nothing, nothing)
    file.need(np.array([5, 9]), np.array([5, 9]))
    assert file.fetched == 0
