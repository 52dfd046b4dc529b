"""A tree of files on this machine, through pathlib: reading, atomic writing, listing, deleting.

Names are POSIX paths relative to the tree. Files called `.tmp-…` are writes under way and are never listed.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TEMPORARY = ".tmp-"
CHUNK = 1 << 20


class FileFacts(NamedTuple):
    """The size of a file in bytes and when it was last changed, in nanoseconds since 1970."""

    size: int
    mtime_ns: int


class LocalTree:
    """The files below a local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the file's bytes piece by piece; FileNotFoundError when it is missing."""
        try:
            file = (self.root / name).open("rb")
        except NotADirectoryError as error:
            raise FileNotFoundError(*error.args) from None
        with file:
            while piece := file.read(CHUNK):
                yield piece

    def write(self, name: str, data: bytes) -> None:
        """Put `data` into the file at once or not at all; it survives a crash of the machine."""
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            _sync_names(target.parent)
        finally:
            temporary.unlink(missing_ok=True)

    def facts(self, name: str) -> FileFacts | None:
        """Return the facts of one file, None when there is no such file."""
        path = self.root / name
        if not path.is_file():
            return None
        stat = path.stat()
        return FileFacts(stat.st_size, stat.st_mtime_ns)

    def files(self) -> dict[str, FileFacts]:
        """Return the facts of every file below, in the order of the names.

        A link to a file counts as the file, a link to a folder only when that folder lies in this tree.
        """
        return dict(sorted(_walk(str(self.root), "", (os.path.realpath(self.root),))))

    def exists(self, name: str) -> bool:
        """Say whether there is a file or folder of this name."""
        return (self.root / name).exists()

    def names(self) -> list[str]:
        """Return the names right below, sorted; none when the folder is missing."""
        try:
            return sorted(path.name for path in self.root.iterdir() if not path.name.startswith(TEMPORARY))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def remove(self, name: str) -> None:
        """Delete one file; a missing one is fine."""
        (self.root / name).unlink(missing_ok=True)

    def delete(self) -> None:
        """Delete the folder and all below it; a missing one is fine."""
        if self.root.is_symlink():
            self.root.unlink()
        while self.root.exists():
            try:
                shutil.rmtree(self.root)
            except FileNotFoundError:
                continue  # another process deleted the same file first

    def sweep(self, older_than: float = 0) -> None:
        """Delete what writes that were killed left right here, once it is `older_than` seconds old."""
        for path in self.root.glob(f"{TEMPORARY}*"):
            if older_than == 0 or path.lstat().st_mtime < time.time() - older_than:
                path.unlink(missing_ok=True)


def _walk(folder: str, prefix: str, real: tuple[str, ...]) -> Iterator[tuple[str, FileFacts]]:
    """Yield (relative name, facts); `real` holds the true paths of the folders from the root down to this one."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name.startswith(TEMPORARY):
            continue
        if entry.is_file():
            try:
                stat = entry.stat()
            except FileNotFoundError:
                continue  # deleted while we listed
            yield prefix + entry.name, FileFacts(stat.st_size, stat.st_mtime_ns)
        elif entry.is_dir():
            below = os.path.realpath(entry.path) if entry.is_symlink() else f"{real[-1]}/{entry.name}"
            # A link up the tree would be walked for ever, and one out of it is not this folder's content.
            if below not in real and below.startswith(f"{real[0]}/"):
                yield from _walk(entry.path, f"{prefix}{entry.name}/", (*real, below))


def _sync_names(folder: Path) -> None:
    """Make a rename in `folder` survive a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
