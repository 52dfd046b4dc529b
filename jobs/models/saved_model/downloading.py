"""Downloads a SavedModel as TensorFlow Hub's protocol has it: a gzipped tar at its address.

Nothing is kept for the next time, and what is unpacked stays within its folder and within bounds.
"""

from __future__ import annotations

import gzip
import http.client
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from cluster.errors import RequestError
from jobs.models.saved_model.fetching import CLEAR, in_the_clear

FORMAT = ("tf-hub-format", "compressed")
MOST = 16 << 30  # bytes a module may unpack to
FILES = 10_000
BETWEEN = 1 << 20  # bytes of an archive before, after and between its files; names take some hundred
PATIENCE = 60  # seconds a server may be silent


def download(handle: str, into: Path) -> None:
    """Download the module that `handle` names and unpack it into the folder `into`; RequestError says why not."""
    try:
        if in_the_clear(handle):
            raise RequestError(handle, CLEAR, "https://")
        with _opened(handle) as response:
            _unpack(response, into, handle)
    except RequestError:
        raise
    except (OSError, ValueError, EOFError, zlib.error, tarfile.TarError, http.client.HTTPException) as error:
        remedy = "mend the handle, or download the module elsewhere and name its folder"
        raise RequestError(handle, f"could not be downloaded ({error})", remedy=remedy) from None


def _opened(handle: str) -> Any:
    from urllib.request import HTTPRedirectHandler, build_opener

    class Redirects(HTTPRedirectHandler):
        """Follows nowhere that a handle could not lead to."""

        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            if in_the_clear(newurl):
                raise RequestError(handle, f"leads to {newurl}, which {CLEAR}", "https://")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    parts = urlsplit(handle)
    asked = parts._replace(query=urlencode([*parse_qsl(parts.query), FORMAT]))
    return build_opener(Redirects).open(urlunsplit(asked), timeout=PATIENCE)


class _Bounded:
    """A stream of which `left` bytes may be read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.left = stream, BETWEEN

    def read(self, count: int) -> bytes:
        found = self.stream.read(count)
        self.left -= len(found)
        if self.left < 0:
            raise tarfile.ReadError(f"more than {BETWEEN} bytes of it belong to no file")
        return found


def _unpack(response: IO[bytes], into: Path, handle: str) -> None:
    """Unpack files and folders, in order, as they come."""
    stream = _Bounded(gzip.GzipFile(fileobj=response))  # type: ignore[arg-type]
    total = 0
    with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
        for count, member in enumerate(archive):
            total += member.size
            if count == FILES or total > MOST:
                raise RequestError(handle, f"unpacks to more than {FILES} files or {MOST} bytes", "a smaller module")
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
                raise RequestError(handle, f"holds {member.name!r}", "plain files and folders within the archive")
            stream.left = BETWEEN + member.size
            _write(archive, member, into / path)


def _write(archive: Any, member: Any, target: Path) -> None:
    import shutil

    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(archive.extractfile(member), file)
