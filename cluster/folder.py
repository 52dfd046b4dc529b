"""A folder named by an absolute local path or by a URI: picklable, and of the same meaning on every node.

A local folder is pathlib's work. pyarrow is imported only once a URI with a scheme is really used.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from cluster.errors import ClusterError, EspalierError, RequestError
from cluster.storage.cache import node_cache, used
from cluster.storage.local_tree import TEMPORARY, FileFacts, LocalTree

if TYPE_CHECKING:
    from cluster.storage.remote_tree import RemoteTree

__all__ = ["FileFacts", "Folder"]

SCHEMES = ("file", "s3", "gs", "gcs", "abfs", "abfss", "hdfs")
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True)
class Folder:
    """A folder, which need not exist yet. Make one with `Folder.parse`; names are POSIX paths relative to it."""

    location: str

    @classmethod
    def parse(cls, text: str) -> Folder:
        """Read a path (`~` and relative ones are made absolute) or a URI; RequestError when it is neither."""
        scheme = _URI.match(text)
        if scheme is None:
            if not text or "\0" in text:
                raise RequestError("folder", f"{text!r}", "a path, or a URI such as s3://bucket/folder")
            return cls(str(Path(text).expanduser().absolute()))
        if scheme[1].lower() == "file":
            return cls._local_uri(text)
        return cls._remote_uri(text)

    @classmethod
    def _local_uri(cls, text: str) -> Folder:
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise RequestError(text, "is not an absolute path", "file:///absolute/path")
        return cls(str(Path(unquote(parts.path))))

    @classmethod
    def _remote_uri(cls, text: str) -> Folder:
        try:
            parts = urlsplit(text)
        except ValueError as error:
            raise RequestError(
                "folder", f"is not a URI ({error})", "a path, or a URI such as s3://bucket/folder"
            ) from None
        if parts.password is not None:  # first, so that no message below repeats the password
            where = f"{parts.scheme}://…@{parts.hostname}{parts.path}"
            raise RequestError(where, "holds a password", remedy="give credentials through the environment")
        if parts.scheme not in SCHEMES:
            raise RequestError(text, f"has the unknown scheme {parts.scheme}", f"one of {', '.join(SCHEMES)}")
        if not parts.netloc or parts.fragment:
            raise RequestError(
                text, "has no bucket" if not parts.netloc else "has a #", f"{parts.scheme}://bucket/path"
            )
        path = quote(unquote(parts.path).rstrip("/"), safe="/")
        if any(part in (".", "..") for part in path.split("/")):
            raise RequestError(text, "has . or .. in its path", f"{parts.scheme}://bucket/path")
        return cls(urlunsplit((parts.scheme, parts.netloc, path, parts.query, "")))

    def __str__(self) -> str:
        return self.location

    @property
    def is_local(self) -> bool:
        """Whether the folder is a path of this machine."""
        return _URI.match(self.location) is None

    @property
    def path(self) -> Path:
        """The path of a local folder."""
        assert self.is_local, f"{self} has no local path; fetch() it"
        return Path(self.location)

    @property
    def name(self) -> str:
        """The last part of the folder's path, empty for a root or a bucket."""
        return self.path.name if self.is_local else unquote(PurePosixPath(urlsplit(self.location).path).name)

    @property
    def parent(self) -> Folder:
        """The folder this one lies in; a root or a bucket is its own parent."""
        if self.is_local:
            return Folder(str(self.path.parent))
        parts = urlsplit(self.location)
        return Folder(urlunsplit(parts._replace(path=parts.path.rpartition("/")[0])))

    def child(self, *names: str) -> Folder:
        """Return the folder below this one; `names` never lead out of it."""
        relative = "/".join(_checked(name) for name in names)
        if self.is_local:
            return Folder(str(self.path / relative))
        parts = urlsplit(self.location)
        return Folder(urlunsplit(parts._replace(path=f"{parts.path}/{quote(relative, safe='/')}")))

    def __truediv__(self, name: str) -> Folder:
        return self.child(name)

    def read_bytes(self, name: str) -> bytes:
        """Return a file's content; FileNotFoundError when it is missing."""
        return b"".join(self._tree().chunks(_checked(name)))

    def reader(self, name: str) -> Callable[[int, int], bytes]:
        """Return what reads (start, length) of a file in a remote folder; FileNotFoundError when it is missing."""
        assert not self.is_local, "map a local file"
        return self._remote().reader(_checked(name))

    def write_bytes(self, name: str, data: bytes) -> None:
        """Put `data` into a file at once or not at all; folders on the way are made."""
        self._tree().write(_checked(name), data)

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of a file in hexadecimal, reading it piece by piece."""
        digest = hashlib.sha256()
        for piece in self._tree().chunks(_checked(name)):
            digest.update(piece)
        return digest.hexdigest()

    def facts(self, name: str) -> FileFacts | None:
        """Return size and time of one file, None when there is no such file."""
        return self._tree().facts(_checked(name))

    def files(self) -> dict[str, FileFacts]:
        """Return size and time of every file below, by relative name; none when the folder is missing."""
        return self._tree().files()

    def exists(self, name: str = "") -> bool:
        """Say whether the folder, or a file or folder `name` in it, exists."""
        return self._tree().exists(_checked(name) if name else "")

    def names(self) -> list[str]:
        """Return the names of what lies right in this folder, sorted; none when it is missing."""
        return self._tree().names()

    def remove(self, name: str) -> None:
        """Delete one file; a missing one is fine."""
        self._tree().remove(_checked(name))

    def delete(self) -> None:
        """Delete the folder with all below it; a missing one is fine."""
        self._tree().delete()

    def sweep(self, older_than: float = 0) -> None:
        """Delete what writes that were killed left right in this folder, once it is `older_than` seconds old."""
        self._tree().sweep(older_than)

    def check_writable(self) -> None:
        """Write and delete a small file; RequestError when that is refused."""
        name = f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            self.write_bytes(name, b"espalier")
            self.remove(name)
        except OSError as error:
            raise _not_writable(self, error.strerror or str(error)) from error
        except ClusterError as error:
            raise _not_writable(self, error.found.removeprefix("cannot be used (").removesuffix(")")) from error

    def fetch(self) -> Path:
        """Return a local folder with the same content: this one, or a copy kept for later calls on this machine.

        The copy is for reading only. FileNotFoundError when a remote folder holds nothing.
        """
        if self.is_local:
            return self.path
        listing = self.files()
        if not listing:
            raise FileNotFoundError(f"{self} holds no files")
        key = hashlib.sha256(json.dumps([self.location, listing]).encode()).hexdigest()
        target = node_cache("fetched") / key
        if _sizes(LocalTree(target).files()) == _sizes(listing):
            used(target)
            return target
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=TEMPORARY) as scratch:
            copy = Path(scratch) / "copy"
            copy.mkdir()
            self._remote().download(copy)
            _put(copy, target, Path(scratch) / "old", _sizes(listing))
        return target

    @contextmanager
    def filling(self) -> Iterator[Path]:
        """Give a local folder whose content ends up here; after an exception nothing is uploaded."""
        if self.is_local:
            self.path.mkdir(parents=True, exist_ok=True)
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="espalier-") as scratch:
            yield Path(scratch)
            self._remote().upload(Path(scratch))

    def _tree(self) -> LocalTree | RemoteTree:
        return LocalTree(self.path) if self.is_local else self._remote()

    def _remote(self) -> RemoteTree:
        from cluster.storage.remote_tree import RemoteTree  # pyarrow takes longer to import than a cached run takes

        return RemoteTree(self.location)


def _put(copy: Path, target: Path, old: Path, wanted: dict[str, int]) -> None:
    """Rename `copy` to `target`; a `target` that lost files gives way, a whole one another process put there stays."""
    if target.exists() and _sizes(LocalTree(target).files()) != wanted:
        target.rename(old)
    try:
        copy.rename(target)
    except OSError:
        if not target.exists():
            raise


def _sizes(files: dict[str, FileFacts]) -> dict[str, int]:
    return {name: facts.size for name, facts in files.items()}


def _checked(name: str) -> str:
    inside = "\0" not in name and all(part not in ("", ".", "..") for part in name.split("/"))
    assert inside, f"{name!r} is not a name inside a folder"
    return name


def _not_writable(folder: Folder, why: str) -> EspalierError:
    return RequestError(str(folder), f"is not writable ({why})", remedy="name a folder you may write to")
