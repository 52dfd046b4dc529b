"""Reads local paths and `pyarrow.fs` URIs alike: whether they exist, what is in a folder, a file's bytes.

pyarrow is imported only for a path with a scheme.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from cluster.errors import RequestError

SMALL = 1 << 20  # bytes


def is_uri(path: str) -> bool:
    """Say whether `path` names a scheme (`s3://…`)."""
    return "://" in path


def locate(path: str, root: Path) -> str:
    """Return `path` itself when it is a URI, else absolute, taken from `root`."""
    return path if is_uri(path) else str(root / Path(path).expanduser())


def name_of(path: str) -> str:
    """Return the last part of `path`."""
    return PurePosixPath(path.partition("?")[0] if is_uri(path) else path).name


def join(folder: str, name: str) -> str:
    """Return the path of `name` below `folder`; a URI keeps its query."""
    if not is_uri(folder):
        return str(Path(folder) / name)
    base, mark, query = folder.partition("?")
    return f"{base.rstrip('/')}/{name}{mark}{query}"


def parent(path: str) -> str:
    """Return the folder `path` lies in; a URI keeps its query."""
    if not is_uri(path):
        return str(Path(path).parent)
    base, mark, query = path.partition("?")
    return f"{base.rstrip('/').rpartition('/')[0]}{mark}{query}"


def exists(path: str) -> bool:
    """Say whether a file or folder is at `path`."""
    if not is_uri(path):
        return Path(path).exists()
    from pyarrow.fs import FileType

    system, inner = _system(path)
    return bool(system.get_file_info(inner).type != FileType.NotFound)


def require(path: str, subject: str = "") -> None:
    """Raise RequestError when nothing is at `path`."""
    if not exists(path):
        raise RequestError(subject or path, "does not exist", remedy="mend the path or make the file first")


def open_binary(path: str) -> IO[bytes]:
    """Open the file at `path` for reading; it can seek."""
    if not is_uri(path):
        return Path(path).open("rb")
    import io

    system, inner = _system(path)
    return io.BufferedReader(system.open_input_file(inner), 1 << 20)


def read_at_most(path: str, most: int) -> bytes:
    """Return the content of the file at `path`; of a larger one, `most` bytes and one more."""
    with open_binary(path) as stream:
        raw = stream.read(SMALL)  # what is asked for is allocated, however small the file
        return raw if len(raw) < SMALL else raw + stream.read(most + 1 - len(raw))


def children(folder: str) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files directly in `folder`, each sorted."""
    if not is_uri(folder):
        if Path(folder).is_file():
            raise RequestError(folder, "is a file", "a folder", "an archive must be unpacked first")
        with os.scandir(folder) as entries:  # which asks the system once a folder, not once a file
            found = sorted((entry.name, entry.is_dir()) for entry in entries)
        return [name for name, is_folder in found if is_folder], [name for name, is_folder in found if not is_folder]
    from pyarrow.fs import FileSelector, FileType

    system, inner = _system(folder)
    infos = sorted(system.get_file_info(FileSelector(inner)), key=lambda info: info.path)
    folders = [info.base_name for info in infos if info.type == FileType.Directory]
    return folders, [info.base_name for info in infos if info.type != FileType.Directory]


def size(path: str) -> int:
    """Return the bytes of the file at `path`, or of all files below a folder; 0 when nothing is there."""
    if not is_uri(path):
        found = Path(path).rglob("*") if Path(path).is_dir() else [Path(path)]
        return sum(file.stat().st_size for file in found if file.is_file())
    from pyarrow.fs import FileSelector, FileType

    system, inner = _system(path)
    info = system.get_file_info(inner)
    if info.type == FileType.File:
        return int(info.size)
    below = system.get_file_info(FileSelector(inner, recursive=True, allow_not_found=True))
    return sum(int(info.size or 0) for info in below if info.type == FileType.File)


def below(folder: str, prefix: str = "", above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield every file below `folder` as a path relative to it, in a fixed order.

    `above` are the folders it lies in; RequestError when it is a link to one of them.
    """
    here = folder if is_uri(folder) else os.path.realpath(folder)
    if here in above:
        raise RequestError(folder, f"is a link to {here}, which it lies in", "a tree of folders", "remove the link")
    folders, files = children(folder)
    for name in files:
        yield f"{prefix}{name}"
    for name in folders:
        yield from below(join(folder, name), f"{prefix}{name}/", (*above, here))


def linked(folder: str, prefix: str = "", above: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield (name, real path) of every folder outside of `folder` that a link below it leads to, in a fixed order."""
    if is_uri(folder):
        return
    here = os.path.realpath(folder)
    for path, names, _ in os.walk(here):
        names.sort()
        for link in (Path(path, name) for name in names):
            real = link.resolve() if link.is_symlink() else link
            if not real.is_relative_to(here) and str(real) not in above:
                name = f"{prefix}{link.relative_to(here)}"
                yield name, str(real)
                yield from linked(str(real), f"{name}/", (*above, here))


def _system(uri: str) -> tuple[Any, str]:
    from pyarrow.fs import FileSystem

    try:
        system, inner = FileSystem.from_uri(uri)
    except ValueError as error:  # pyarrow's ArrowInvalid is one
        raise RequestError(
            uri, f"is not a usable URI ({error})", "a path, or a URI such as s3://bucket/folder"
        ) from None
    return system, inner
