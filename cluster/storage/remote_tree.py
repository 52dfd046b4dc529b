"""A tree of files on an object store, through pyarrow's file systems: the one module of this package with pyarrow.

Object stores have no rename, but a single object appears at once or not at all. Trouble with the store itself (the
network, the credentials) is a ClusterError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pyarrow import fs

from cluster.errors import ClusterError
from cluster.storage.local_tree import CHUNK, TEMPORARY, FileFacts


class RemoteTree:
    """The objects below a URI."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        parts = urlsplit(uri)
        with self._reaching():
            self._files, base = _file_system(parts.scheme, parts.netloc, parts.query)
        self._root = f"{base.rstrip('/')}/{unquote(parts.path).strip('/')}".rstrip("/")

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the object's bytes piece by piece; FileNotFoundError when it is missing."""
        with self._reaching(), self._files.open_input_stream(self._path(name)) as stream:
            while piece := stream.read(CHUNK):
                yield piece

    def reader(self, name: str) -> Callable[[int, int], bytes]:
        """Return what reads (start, length) of the object, from any thread; FileNotFoundError when it is missing."""
        with self._reaching():
            file = self._files.open_input_file(self._path(name))

        def read(start: int, length: int) -> bytes:
            with self._reaching():
                return bytes(file.read_at(length, start))

        return read

    def write(self, name: str, data: bytes) -> None:
        """Put `data` into the object, at once or not at all."""
        with self._reaching(), self._files.open_output_stream(self._path(name)) as stream:
            stream.write(data)

    def facts(self, name: str) -> FileFacts | None:
        """Return the facts of one object, None when there is no such object."""
        info = self._info(name)
        return FileFacts(info.size, info.mtime_ns or 0) if info.is_file else None

    def files(self) -> dict[str, FileFacts]:
        """Return the facts of every object below, in the order of the names."""
        found = {name: info for name, info in self._list(recursive=True) if info.is_file}
        return {name: FileFacts(found[name].size, found[name].mtime_ns or 0) for name in sorted(found)}

    def exists(self, name: str) -> bool:
        """Say whether there is an object or a folder of this name."""
        return bool(self._info(name).type != fs.FileType.NotFound)

    def names(self) -> list[str]:
        """Return the names right below, sorted; none when the folder is missing."""
        return sorted(name for name, _ in self._list(recursive=False))

    def remove(self, name: str) -> None:
        """Delete one object; a missing one is fine."""
        with self._reaching():
            try:
                self._files.delete_file(self._path(name))
            except FileNotFoundError:
                return

    def delete(self) -> None:
        """Delete every object below; a missing folder is fine."""
        assert "/" in self._root, f"{self.uri} is a whole bucket"
        with self._reaching():
            try:
                self._files.delete_dir(self._root)
            except FileNotFoundError:
                return

    def sweep(self, older_than: float = 0) -> None:
        """Do nothing: a write that was killed leaves no object."""

    def download(self, target: Path) -> None:
        """Copy every object below into the local folder `target`."""
        with self._reaching():
            fs.copy_files(self._root, str(target), source_filesystem=self._files, destination_filesystem=_LOCAL)

    def upload(self, source: Path) -> None:
        """Copy every file of the local folder `source` to here."""
        with self._reaching():
            fs.copy_files(str(source), self._root, source_filesystem=_LOCAL, destination_filesystem=self._files)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _info(self, name: str) -> fs.FileInfo:
        with self._reaching():
            return self._files.get_file_info(self._path(name))

    def _list(self, recursive: bool) -> Iterator[tuple[str, fs.FileInfo]]:
        with self._reaching():
            infos = self._files.get_file_info(fs.FileSelector(self._root, recursive=recursive, allow_not_found=True))
        for info in infos:
            if not info.base_name.startswith(TEMPORARY):
                yield info.path.removeprefix(f"{self._root}/"), info

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turn what the store or the network refuses into a ClusterError; a missing object stays FileNotFoundError."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            remedy = "check the address, the credentials and the network"
            raise ClusterError(self.uri, f"cannot be used ({reason(error)})", remedy=remedy) from error


_LOCAL = fs.LocalFileSystem()


@lru_cache
def _file_system(scheme: str, netloc: str, query: str) -> tuple[fs.FileSystem, str]:
    """Return the file system and the path of its top; kept, because each one opens connections of its own."""
    file_system, top = fs.FileSystem.from_uri(f"{scheme}://{netloc}" + (f"?{query}" if query else ""))
    return file_system, str(top)


def reason(error: BaseException) -> str:
    """Return the telling part of an error of pyarrow's, without the number of the request."""
    text = str(error).split(" (Request ID:")[0]
    return text.split(" operation: ", 1)[-1]
