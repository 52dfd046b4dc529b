from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from cluster.errors import RequestError
from cluster.folder import Folder
from pipelines.digests import Memo

OLD = 1_700_000_000


def write(path: Path, data: bytes, when: int = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (when, when))
    return path


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Folder:
    return Folder.parse(str(tmp_path / "store"))


def test_a_file_is_remembered_by_the_next_memo(root: Folder, tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", b"one")
    assert Memo(root).digest(path) == sha(b"one")
    write(path, b"two")  # same size, same time: only a memo says "one"
    assert Memo(root).digest(str(path)) == sha(b"one")
    assert Memo(root).file(tmp_path, "data.csv") == sha(b"one")
    write(path, b"two", OLD + 1)
    assert Memo(root).digest(path) == sha(b"two")
    write(path, b"longer", OLD + 1)
    assert Memo(root).digest(path) == sha(b"longer")


def test_a_file_that_changed_just_now_is_not_remembered(root: Folder, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"one")
    now = path.stat().st_mtime_ns
    assert Memo(root).digest(path) == sha(b"one")
    path.write_bytes(b"two")
    os.utime(path, ns=(now, now))
    assert Memo(root).digest(path) == sha(b"two")


def test_a_folder_counts_by_names_and_contents_only(root: Folder, tmp_path: Path) -> None:
    memo = Memo(root)
    for base in ("here", "there"):
        write(tmp_path / base / "cat" / "1.png", b"cat")
        write(tmp_path / base / "dog" / "1.png", b"dog", OLD + len(base))
    first = memo.digest(tmp_path / "here")
    assert first == memo.digest(Folder.parse(str(tmp_path / "there")))
    (tmp_path / "there" / "dog").rename(tmp_path / "there" / "wolf")
    assert memo.digest(tmp_path / "there") != first
    (tmp_path / "here" / "dog" / "1.png").unlink()
    without = memo.digest(tmp_path / "here")
    assert without != first
    write(tmp_path / "here" / "dog" / "1.png", b"dot")
    assert memo.digest(tmp_path / "here") not in (first, without)


def test_files_that_are_gone_are_forgotten(root: Folder, tmp_path: Path) -> None:
    one, two = write(tmp_path / "here" / "1", b"1"), write(tmp_path / "here" / "2", b"2")
    other = write(tmp_path / "there" / "3", b"3")
    Memo(root).digest(one.parent)
    Memo(root).digest(other)
    assert str(other.parent) in root.read_bytes(".digests.json").decode()
    two.unlink()
    other.unlink()
    other.parent.rmdir()
    memo = Memo(root)
    write(tmp_path / "here" / "4", b"4")
    memo.digest(one.parent)
    assert {where: sorted(known) for where, known in json.loads(root.read_bytes(".digests.json")).items()} == {
        str(one.parent): ["1", "4"]
    }


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"/x": 1}', b'{"/x": {"y": [1]}}', b"\xff"])
def test_a_damaged_memo_is_ignored(root: Folder, tmp_path: Path, damage: bytes) -> None:
    path = write(tmp_path / "data.csv", b"one")
    root.write_bytes(".digests.json", damage)
    assert Memo(root).digest(path) == sha(b"one")
    write(path, b"two")
    assert Memo(root).digest(path) == sha(b"one")


def test_a_memo_that_cannot_be_saved_costs_only_time(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", b"one")
    assert Memo(Folder.parse(f"{path}/below")).digest(path) == sha(b"one")


def test_nothing_is_written_when_nothing_was_learnt(root: Folder, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b"now")
    Memo(root).digest(tmp_path / "data.csv")
    assert not root.exists()


def test_a_missing_path_is_named(root: Folder, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as error:
        Memo(root).digest(tmp_path / "none.csv")
    assert str(error.value) == f"{tmp_path}/none.csv: does not exist, wanted a file or a folder"
    with pytest.raises(FileNotFoundError):
        Memo(root).file(tmp_path, "none.csv")


def test_remote_files_and_folders(s3_root: Folder, root: Folder, tmp_path: Path) -> None:
    s3_root.write_bytes("a/data.csv", b"one")
    write(tmp_path / "a" / "data.csv", b"one")
    memo = Memo(root)
    assert memo.digest(str(s3_root.child("a", "data.csv"))) == sha(b"one")
    assert memo.digest(str(s3_root / "a")) == memo.digest(tmp_path / "a")
    with pytest.raises(RequestError, match=r"none\?.*: does not exist, wanted a file or a folder"):
        memo.digest(str(s3_root / "none"))


def test_the_memo_of_a_remote_store_is_in_the_users_cache(
    s3_root: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = write(tmp_path / "data.csv", b"one")
    assert Memo(s3_root).digest(path) == sha(b"one")
    write(path, b"two")
    assert Memo(s3_root).digest(path) == sha(b"one")
    assert [found.name for found in (tmp_path / "cache").rglob("*.json")] == [".digests.json"]
    assert s3_root.files() == {}


def test_remembered_files_are_not_read_again(root: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(600):
        write(tmp_path / "images" / f"{index % 10}" / f"{index}.png", b"%d" % index)
    first = Memo(root).digest(tmp_path / "images")
    read: list[str] = []
    monkeypatch.setattr(Folder, "sha256", lambda _, name: read.append(name))
    assert Memo(root).digest(tmp_path / "images") == first
    assert read == []
