from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from cluster.folder import Folder
from cluster.storage import cache


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"espalier-{os.getuid()}"


def age(copy: Path, seconds: float) -> Path:
    os.utime(copy, (time.time() - seconds,) * 2)
    return copy


def test_copies_that_nothing_used_for_a_week_are_deleted_when_a_process_first_looks(root: Path) -> None:
    for kind in ("fetched", "encoded"):
        (root / kind).mkdir(parents=True)
    (root / "fetched/old").mkdir()
    (root / "fetched/old/file").write_text("x")
    (root / "encoded/old.arrow").write_text("x")
    (root / "encoded/new.arrow").write_text("x")
    age(root / "fetched/old", cache.UNUSED + 60)
    age(root / "encoded/old.arrow", cache.UNUSED + 60)
    age(root / "encoded/new.arrow", cache.UNUSED - 60)
    assert cache.node_cache("encoded") == root / "encoded"
    assert [str(path.relative_to(root)) for path in sorted(root.glob("*/*"))] == ["encoded/new.arrow"]


def test_a_fetched_copy_that_is_used_again_stays(root: Path, s3_root: Folder) -> None:
    s3_root.write_bytes("a", b"1")
    copy = age(s3_root.fetch(), cache.UNUSED + 60)
    assert s3_root.fetch() == copy
    cache.sweep(root)
    assert (copy / "a").read_bytes() == b"1"
    age(copy, cache.UNUSED + 60)
    cache.sweep(root)
    assert not copy.exists()
