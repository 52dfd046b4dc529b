"""A file on an object store, read while it is fetched: what is asked for first, the rest ahead in the background.

The file is fetched by blocks into a sparse file of this node's cache, which all processes map: each block is fetched
once a node. A block counts only when it is marked, and it is marked after it was written: what a killed process left
half written is fetched again. That a block is whole is checked; its content is what the store sends: the store's
SHA-256 of the file is compared when a step is reused, not here.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import EspalierError, StepError
from cluster.folder import Folder
from cluster.storage.cache import node_cache, used

BLOCK = 256 << 10  # bytes that are fetched and marked at once at least: a row asked for brings no more than it must
RUN = 16  # blocks that are fetched with one request at most, and locked together
READERS = 16  # requests at once for rows that are waited for
AHEAD = 2  # requests at once for rows that are not asked for yet

Places = NDArray[np.integer[Any]]


class RemoteFile:
    """A remote file, fetched by blocks into this node's cache; `content` maps it, and holds zeros where none is."""

    def __init__(self, folder: Folder, name: str) -> None:
        facts = folder.facts(name)
        if facts is None:
            raise StepError(f"{folder}/{name}", "does not exist", "a shard", "the data set has no such split")
        if not facts.size:
            raise StepError(f"{folder}/{name}", "is empty", "a shard", "make the data set afresh")
        self.name, self.size, self.fetched = f"{folder}/{name}", facts.size, 0  # blocks fetched by this process
        self._read = folder.reader(name)
        key = hashlib.sha256(json.dumps([str(folder), name, facts, BLOCK]).encode()).hexdigest()
        place = node_cache("streamed") / key
        place.mkdir(mode=0o700, exist_ok=True)
        used(place)
        self._file = _sized(place / "data", facts.size)
        self._locks = place / "locks"
        self._locks.mkdir(mode=0o700, exist_ok=True)
        self.marks = np.memmap(_sized(place / "marks", self.blocks), np.uint8, "r+")
        self.content = np.memmap(self._file, np.uint8, "r")
        self._turn = threading.Lock()
        self._pool = ThreadPoolExecutor(READERS)
        self._stopped = threading.Event()
        self._ahead: list[threading.Thread] = []

    @property
    def blocks(self) -> int:
        """How many blocks the file has."""
        return -(-self.size // BLOCK)

    def need(self, starts: Places, stops: Places) -> None:
        """Return once the bytes from each of `starts` up to each of `stops` are here."""
        if self.marks.all():
            return
        starts, stops = starts[stops > starts], stops[stops > starts]
        cover = np.zeros(self.blocks + 1, np.int64)
        np.add.at(cover, starts // BLOCK, 1)
        np.add.at(cover, (stops - 1) // BLOCK + 1, -1)
        wanted = np.flatnonzero(np.cumsum(cover) > 0)
        missing = wanted[self.marks[wanted] == 0]
        if len(missing):
            list(self._pool.map(lambda run: self._fetch(run, wait=True), _runs(missing)))

    def go_ahead(self) -> None:
        """Fetch the rest in the background, in the order of the file."""
        if not self._ahead:
            todo = iter(_runs(np.flatnonzero(self.marks == 0)))
            self._ahead = [threading.Thread(target=self._walk, args=(todo,), daemon=True) for _ in range(AHEAD)]
            atexit.register(self.stop)  # a thread inside a request when Python ends would crash it
            for thread in self._ahead:
                thread.start()

    def join(self) -> None:
        """Wait until what is fetched in the background is here."""
        for thread in self._ahead:
            thread.join()

    def stop(self) -> None:
        """Stop fetching in the background, after the requests under way."""
        self._stopped.set()
        self.join()
        atexit.unregister(self.stop)

    def _walk(self, todo: Iterator[tuple[int, int]]) -> None:
        try:
            self._fetch_all(todo)
        except (EspalierError, OSError):
            return  # whoever needs the rows asks for them again, and is told

    def _fetch_all(self, todo: Iterator[tuple[int, int]]) -> None:
        left = []
        while not self._stopped.is_set() and (run := _next(todo, self._turn)):
            if not self._fetch(run, wait=False):
                left.append(run)  # another process is at it: it may be killed before it is done
        for run in left:
            if not self._stopped.is_set():
                self._fetch(run, wait=True)

    def _fetch(self, run: tuple[int, int], wait: bool) -> bool:
        """Fetch the blocks of a run that are missing; False when another process is at it and `wait` is not set."""
        first, stop = run
        with self._held(first // RUN, wait) as held:
            missing = first + np.flatnonzero(self.marks[first:stop] == 0) if held else np.empty(0, np.int64)
            for start, end in _runs(missing):
                offset = start * BLOCK
                length = min(end * BLOCK, self.size) - offset
                data = self._read(offset, length)
                if len(data) < length:
                    raise StepError(self.name, f"ends after {offset + len(data)} bytes", f"{self.size}, as it had")
                os.pwrite(self._file.fileno(), data, offset)
                os.fdatasync(self._file.fileno())
                self.marks[start:end] = 1
                with self._turn:
                    self.fetched += end - start
        return held

    @contextmanager
    def _held(self, run: int, wait: bool) -> Iterator[bool]:
        """Hold a run against other threads and processes; yield whether it is held. Who is killed lets go."""
        with (self._locks / str(run)).open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True


def _sized(path: Any, size: int) -> Any:
    file = open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", buffering=0)  # noqa: SIM115, PTH123
    if os.fstat(file.fileno()).st_size < size:
        os.ftruncate(file.fileno(), size)  # a hole; another process may have made it the same
    return file


def _next(todo: Iterator[tuple[int, int]], turn: threading.Lock) -> tuple[int, int] | None:
    with turn:
        return next(todo, None)


def _runs(blocks: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return (first, after the last) of blocks that follow one another within a run, which is locked as one."""
    if not len(blocks):
        return []
    apart = (np.diff(blocks) != 1) | (blocks[1:] % RUN == 0)
    ends = [0, *(np.flatnonzero(apart) + 1).tolist(), len(blocks)]
    return [(int(blocks[start]), int(blocks[end - 1]) + 1) for start, end in pairwise(ends)]
