"""This user's copies on this machine: what was fetched, streamed or encoded once. What nothing used for a week goes."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
import uuid
from functools import cache
from pathlib import Path

from cluster.errors import ClusterError
from cluster.storage.local_tree import TEMPORARY

UNUSED = 7 * 24 * 3_600.0  # seconds after which a copy is deleted


def node_cache(kind: str) -> Path:
    """Return the folder of copies of one kind on this machine; ClusterError when someone else made it.

    The first call of a process deletes what no process used for a week.
    """
    root = Path(tempfile.gettempdir()) / f"espalier-{os.getuid()}"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = root.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise ClusterError(str(root), "belongs to another user", remedy="set TMPDIR to a folder of your own")
    root.chmod(0o700)
    _sweep_once(root)
    (root / kind).mkdir(mode=0o700, exist_ok=True)
    return root / kind


def used(copy: Path) -> None:
    """Note that a copy is used now."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(copy)


@cache
def _sweep_once(root: Path) -> None:
    sweep(root)


def sweep(root: Path) -> None:
    """Delete the copies below `root` that were last used more than a week ago; processes that map one keep it."""
    for copy in root.glob("*/*"):
        with contextlib.suppress(OSError):  # another process is at it too
            if time.time() - copy.lstat().st_mtime > UNUSED:
                gone = copy.rename(copy.parent / f"{TEMPORARY}{uuid.uuid4().hex}")  # nobody opens half of it
                shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
