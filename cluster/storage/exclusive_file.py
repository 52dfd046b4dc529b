"""A file that at most one live process holds, on a file system that creates a file exclusively (O_EXCL).

The holder's heartbeat is the file's mtime. Whoever removes a holder's file, be it the holder or one who found it
stale, first creates `<name>.stale-<token>` exclusively: a holding has one remover, so nobody removes its successor.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.process import Process
from cluster.storage.local_tree import TEMPORARY

BEATS = 6  # a holder that missed this many is taken for dead
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Holding:
    """What a holder wrote: its token, its process and the seconds between its heartbeats."""

    token: str
    process: Process | None
    beat: float

    @classmethod
    def mine(cls, beat: float) -> Holding:
        """Return a new holding of this process."""
        return cls(uuid.uuid4().hex, Process.this(), beat)

    @classmethod
    def read(cls, data: bytes, beat: float) -> Holding:
        """Read a holder's file; what is not one, such as a half-written file, is a holding of nobody known."""
        try:
            document = json.loads(data)
            token, process = str(document["token"]), Process.read(document)
            return cls(token if token.isalnum() else UNKNOWN, process, float(document["beat"]))
        except (ValueError, TypeError, KeyError):
            return cls(UNKNOWN, None, beat)

    def document(self) -> bytes:
        """Return what the holder's file holds."""
        process = self.process.document() if self.process else {}
        return json.dumps({"token": self.token, "beat": self.beat, **process}).encode()

    def __str__(self) -> str:
        return str(self.process) if self.process else "an unknown process"


class ExclusiveFile:
    """The file at `path`; takes it, beats, says whether it is still ours, and clears one whose holder is gone."""

    def __init__(self, path: Path, beat: float) -> None:
        self.path = path
        self._beat = beat
        self._descriptor: int | None = None

    def take(self, mine: Holding) -> bool:
        """Create the file with `mine` in it; False when another holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o644)
        except (FileExistsError, FileNotFoundError):
            return False  # held, or the folder was deleted this moment
        os.write(descriptor, mine.document())
        self._descriptor = descriptor  # kept open: it beats and is compared by inode, whatever the name points to
        return True

    def holder(self) -> Holding | None:
        """Return who holds the file, None when nobody does."""
        try:
            return Holding.read(self.path.read_bytes(), self._beat)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def beat(self) -> None:
        """Show that the holder lives."""
        assert self._descriptor is not None, "only a holder beats"
        os.utime(self._descriptor)

    def is_mine(self) -> bool:
        """Say whether the name still points to the file that was taken."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def is_stale(self, holding: Holding) -> bool:
        """Say whether the holder is gone: its process is dead, or its heartbeats stopped."""
        if holding.process is not None and holding.process.is_dead():
            return True
        try:
            return self._now(holding) - self.path.stat().st_mtime > BEATS * holding.beat
        except FileNotFoundError:
            return False  # released this moment

    def clear(self, judged: Holding, *, own: bool = False) -> bool:
        """Remove a stale holding, or one's `own`; False when it is gone or another process is removing it."""
        claim = ExclusiveFile(self.path.with_name(f"{self.path.name.split('.')[0]}.stale-{judged.token}"), self._beat)
        if not claim.take(Holding.mine(self._beat)):
            other = claim.holder()
            if other is not None and claim.is_stale(other):
                claim.clear(other)  # who claimed it died before it was done
            return False
        now = self.holder()
        clears = now is not None and now.token == judged.token and (own or self.is_stale(now))
        if clears:
            self.path.unlink(missing_ok=True)
        claim.path.unlink(missing_ok=True)
        claim.close()
        return clears

    def release(self, mine: Holding) -> None:
        """Remove the file if it is still ours."""
        if self.is_mine():
            self.clear(mine, own=True)
        self.close()

    def close(self) -> None:
        """Let go of the open file without touching its name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _now(self, holding: Holding) -> float:
        """Return the time the heartbeat is measured by: for another machine's holder, the file system's own.

        On a network share this machine's clock may be minutes apart from the one that stamps the files.
        """
        if holding.process is not None and holding.process.is_here():
            return time.time()
        probe = self.path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
        try:
            with probe.open("xb") as file:
                return os.fstat(file.fileno()).st_mtime
        except OSError:
            return time.time()  # who may only read the store asks, and does not take
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
