"""A lease on a step's place: who holds it works there, the others wait and say for whom.

On a local store it is exclusive. An object store has no conditional write, so there it is advisory: it keeps honest
runs apart, and the record alone is the truth.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from cluster.errors import EspalierError
from cluster.folder import Folder
from cluster.storage.exclusive_file import BEATS, ExclusiveFile, Holding
from cluster.work import Stopped

log = logging.getLogger(__name__)

NAME = "lease"
BEAT = 5.0
POLL = 0.2
SIZE = 1024  # bytes of the object on a remote store


class Mark(Protocol):
    """What shows who holds a place: a file on a local store, an object on a remote one."""

    def take(self, mine: Holding) -> bool:
        """Write `mine` where nobody holds; False when somebody does."""
        ...

    def holder(self) -> Holding | None:
        """Return who holds, None when nobody does."""
        ...

    def beat(self) -> None:
        """Show that the holder lives."""
        ...

    def is_mine(self) -> bool:
        """Say whether what was taken is still held."""
        ...

    def is_stale(self, holding: Holding) -> bool:
        """Say whether the holder is gone."""
        ...

    def clear(self, judged: Holding) -> bool:
        """Remove a stale holding; False when there was nothing to remove."""
        ...

    def release(self, mine: Holding) -> None:
        """Remove one's own holding."""
        ...


class Lease:
    """The right to work in a folder. A thread shows every `beat` seconds that the holder lives."""

    def __init__(self, folder: Folder, beat: float = BEAT) -> None:
        self.folder = folder
        self.beat = beat
        self._mark: Mark = ExclusiveFile(folder.path / NAME, beat) if folder.is_local else AdvisoryObject(folder, beat)
        self._mine: Holding | None = None
        self._done = threading.Event()
        self._heart: threading.Thread | None = None

    @property
    def held(self) -> bool:
        """Whether this lease is held now; False also after another process took it over."""
        return self._mine is not None and self._mark.is_mine()

    @property
    def lost(self) -> bool:
        """Whether this lease was acquired and another process took it over."""
        return self._mine is not None and not self._mark.is_mine()

    def holder(self) -> str | None:
        """Say which live process holds the lease, None when nobody does."""
        holding = self._mark.holder()
        return None if holding is None or self._mark.is_stale(holding) else str(holding)

    def acquire(
        self,
        on_wait: Callable[[str], None] = log.warning,
        stop: threading.Event | None = None,
        poll: float = POLL,
    ) -> None:
        """Wait until the lease is ours, telling `on_wait` once for whom; Stopped when `stop` is set meanwhile."""
        assert self._mine is None, "a lease is acquired once at a time"
        mine = Holding.mine(self.beat)
        pause = stop or threading.Event()
        told = False
        while not self._mark.take(mine):
            holding = self._mark.holder()
            if holding is None:
                continue
            if self._mark.is_stale(holding):
                if self._mark.clear(holding):
                    log.warning("%s: %s is gone; its lease is taken over", self.folder, holding)
                    continue
            elif not told:
                on_wait(f"{self.folder}: {holding} works here; waiting until it is done")
                told = True
            if pause.wait(poll):
                raise Stopped(str(self.folder), f"stopped while waiting for {holding}")
        self._mine = mine
        self._done.clear()
        self._heart = threading.Thread(target=self._beat_on, name=f"lease {self.folder.name}", daemon=True)
        self._heart.start()

    def try_acquire(self) -> bool:
        """Take the lease unless a live process holds it, and wait for nobody; say whether it is ours."""
        at_once = threading.Event()
        at_once.set()
        try:
            self.acquire(lambda text: None, at_once)
        except Stopped:
            return False
        return True

    def release(self) -> None:
        """Give the lease back; one that another process took over stays that process's."""
        if self._mine is None:
            return
        self._done.set()
        if self._heart is not None:
            self._heart.join()
        mine, self._mine = self._mine, None
        self._mark.release(mine)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _beat_on(self) -> None:
        while not self._done.wait(self.beat):
            try:
                if not self._mark.is_mine():
                    log.warning("%s: another process took the lease over", self.folder)
                    return
                self._mark.beat()
            except (OSError, EspalierError) as error:
                # The store may be back before the lease is stale; if not, `held` tells.
                log.warning("%s: the lease's heartbeat failed: %s", self.folder, error)


class AdvisoryObject:
    """The object `lease.json`, with the time of the last heartbeat by the holder's clock."""

    def __init__(self, folder: Folder, beat: float) -> None:
        self._folder = folder
        self._beat = beat
        self._mine: Holding | None = None

    def take(self, mine: Holding) -> bool:
        """Write the object when there is none, and see whether it stays ours: the last of two writers wins."""
        if self.holder() is not None:
            return False
        self._write(mine)
        time.sleep(min(POLL, self._beat))  # another run may have found no object just as we did
        self._mine = mine
        if not self.is_mine():
            self._mine = None
        return self._mine is not None

    def holder(self) -> Holding | None:
        """Return who holds the lease, None when nobody does."""
        try:
            return Holding.read(self._folder.read_bytes(f"{NAME}.json"), self._beat)
        except FileNotFoundError:
            return None

    def beat(self) -> None:
        """Write the time anew."""
        assert self._mine is not None, "only a holder beats"
        self._write(self._mine)

    def is_mine(self) -> bool:
        """Say whether the object still holds our token."""
        holder = self.holder()
        return self._mine is not None and holder is not None and holder.token == self._mine.token

    def is_stale(self, holding: Holding) -> bool:
        """Say whether the holder is gone: its process is dead, or its heartbeats stopped."""
        if holding.process is not None and holding.process.is_dead():
            return True
        return time.time() - self._beaten() > BEATS * holding.beat

    def clear(self, judged: Holding) -> bool:
        """Remove a stale holding; False when it is gone already."""
        now = self.holder()
        clears = now is not None and now.token == judged.token
        if clears:
            self._folder.remove(f"{NAME}.json")
        return clears

    def release(self, mine: Holding) -> None:
        """Remove the object if it is still ours."""
        if self.is_mine():
            self.clear(mine)
        self._mine = None

    def _beaten(self) -> float:
        """Return when the holder last beat: now if it has just released, the object's own time if it is damaged."""
        try:
            return float(json.loads(self._folder.read_bytes(f"{NAME}.json"))["time"])
        except FileNotFoundError:
            return time.time()
        except (ValueError, TypeError, KeyError):
            facts = self._folder.facts(f"{NAME}.json")
            return facts.mtime_ns / 1e9 if facts else time.time()

    def _write(self, mine: Holding) -> None:
        document = json.dumps({**json.loads(mine.document()), "time": time.time()}).encode()
        # A reader asks for the size first and for that many bytes then: if sizes differed it would read half of one.
        self._folder.write_bytes(f"{NAME}.json", document.ljust(SIZE))
