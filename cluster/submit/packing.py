"""The package a job runs in: the working folder, and our own code where the folder does not hold it.

What .gitignore and .rayignore name stays behind, as with `ray job submit`. Sizes are known before anything is written.
Links to folders are not followed.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.errors import RequestError
from cluster.submit.server import LARGEST_BODY

OURS = {"cluster": "environment.py", "jobs": "job.py", "pipelines": "pipeline.py"}  # and a file by which each is known
IGNORES = (".gitignore", ".rayignore")
NEVER = (".git", ".venv", "venv", "__pycache__")  # as Ray leaves them
NAMED = 5  # files an error names
ROOM = 2**16  # bytes of a body that are not the package
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same files make the same package, whenever they were written


@dataclass(frozen=True)
class Package:
    """A package's bytes, named after what is in it, and how many files it has."""

    name: str
    data: bytes
    files: int

    @property
    def uri(self) -> str:
        """How a runtime environment names it."""
        return f"gcs://{self.name}"


def pack(folder: Path, limit: int = LARGEST_BODY - ROOM) -> Package:
    """Return the package of `folder`; RequestError, naming the largest files, when it is over `limit` bytes.

    Text and code shrink to a third at best and images do not at all: files that are together over ten times the limit
    are refused before any is read.
    """
    if not folder.is_dir():
        raise RequestError(str(folder), "is no folder", "the working folder of the job")
    files = dict(sorted(gathered(folder).items()))
    sizes = {name: path.stat().st_size for name, path in files.items()}
    if sum(sizes.values()) > 10 * limit:
        raise _too_large(folder, sum(sizes.values()), limit, sizes)
    data, packed = _zipped(files)
    if len(data) > limit:
        raise _too_large(folder, len(data), limit, packed)
    return Package(f"_ray_pkg_{hashlib.sha256(data).hexdigest()[:40]}.zip", data, len(files))


def gathered(folder: Path) -> dict[str, Path]:
    """Return what goes into the package, by its name there; RequestError where a folder has the name of one of ours."""
    files = {str(path.relative_to(folder)): path for path in _kept(folder, [])}
    code = Path(__file__).parents[2]
    for package, known in OURS.items():
        if f"{package}/{known}" in files:
            continue  # a checkout of ours, maybe changed: it goes before what is installed
        if clash := next((name for name in sorted(files) if name.startswith(f"{package}/")), ""):
            raise RequestError(
                str(folder / clash),
                f"lies in a folder called '{package}', as a package of Espalier's own is",
                "a working folder without one",
                f"rename {folder / package}, name it in .rayignore, or choose another --working-dir",
            )
        for path in _kept(code / package, []):
            files[str(path.relative_to(code))] = path
    return files


def _kept(folder: Path, above: list[tuple[Path, Any]]) -> Iterator[Path]:
    """Yield the files below `folder` that no list of it or of the folders above it names."""
    lines = [line for name in IGNORES if (folder / name).is_file() for line in _lines(folder / name)]
    lists = [*above, (folder, _spec(lines))] if lines else above
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name in NEVER or any(spec.match_file(_name(path, root, is_folder)) for root, spec in lists):
            continue
        if is_folder:
            yield from _kept(path, lists)
        elif path.is_file():
            yield path


def _spec(lines: list[str]) -> Any:
    from ray._private.thirdparty.pathspec import PathSpec  # which Ray reads the same lists with

    return PathSpec.from_lines("gitwildmatch", lines)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _name(path: Path, root: Path, is_folder: bool) -> str:
    return str(path.relative_to(root)) + ("/" if is_folder else "")


def _zipped(files: dict[str, Path]) -> tuple[bytes, dict[str, int]]:
    """Return the archive, and what each file takes in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in files.items():
            facts = zipfile.ZipInfo(name, EPOCH)
            facts.compress_type = zipfile.ZIP_DEFLATED
            facts.external_attr = (path.stat().st_mode & 0o777) << 16
            archive.writestr(facts, path.read_bytes())
        packed = {entry.filename: entry.compress_size for entry in archive.infolist()}
    return buffer.getvalue(), packed


def _too_large(folder: Path, size: int, limit: int, sizes: dict[str, int]) -> RequestError:
    largest = sorted(sizes.items(), key=lambda item: item[1], reverse=True)[:NAMED]
    named = ", ".join(f"{name} ({_mb(each)})" for name, each in largest)
    remedy = f"name what the job does not need in .rayignore, or keep data in the store; the largest: {named}"
    return RequestError(str(folder), f"makes a package of {_mb(size)}", f"at most {_mb(limit)}", remedy)


def _mb(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
