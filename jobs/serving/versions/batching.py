"""Runs a version's file for many requests at once, each answered with the very bytes it would get alone.

What is quick runs at once in the event loop, as nothing is gained by handing it over. Everything else goes to a few
threads, each with interpreters of its own: whatever waits when one is free goes in together. There is no waiting for
company. Rows run together only in sizes for which LiteRT gave, when the version was loaded, the same bytes as for each
row alone and was not slower; else they run one after the other. Requests are put together only where that gains much:
while one runs, the answer of another is on its way, and its client's next question, too.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobs.runtime.inputs import Inputs, count, each, joined
from jobs.runtime.runner import Runner

SIZES = (64, 16, 4)  # rows run together; each has an interpreter, and with the one for single rows a Runner keeps four
LARGE = 32 * 2**20  # bytes of a file whose interpreters are too big to have many
INLINE_S = 0.0015  # what may hold the event loop up
JOINED = 0.9  # of the seconds of rows alone, that requests put together take at most
TRIES = 3  # of which the fastest counts
PATIENCE_S = 0.1  # for one call while a version is loaded: larger sizes are not tried


@dataclass(slots=True)
class Waiting:
    """Rows of one request, and the future that their logits go to."""

    rows: Inputs
    count: int
    future: asyncio.Future[NDArray[np.float32]]


class Lane:
    """Runs the file at `path`; `sample` are prepared rows to measure with. `told` hears how many rows ran together."""

    def __init__(self, path: Path, sample: Inputs, threads: int, told: Callable[[int], None]) -> None:
        self._runner = Runner(path)
        self._told = told
        self.sizes: tuple[int, ...] = ()
        self.row_seconds = _fastest(lambda: self._runner.logits(_first(sample, 1)))
        large = path.stat().st_size > LARGE
        gains = {size: self._gain(sample, size) for size in (SIZES[-1:] if large else SIZES)}
        self.sizes = tuple(size for size, gain in gains.items() if gain <= 1.0)
        self._most = max((size for size, gain in gains.items() if gain <= JOINED), default=1)
        self._waiting: deque[Waiting] = deque()
        self._ready = threading.Condition()
        self._closed = False
        self._runners = [self._runner, *(Runner(path) for _ in range(threads - 1))]
        self._threads: list[threading.Thread] = []

    def _gain(self, sample: Inputs, size: int) -> float:
        """Return what `size` rows together take of what they take alone; infinity when they get other bytes."""
        if size * self.row_seconds > PATIENCE_S:
            return math.inf
        rows, begun = _first(sample, size), time.perf_counter()
        alone = np.concatenate([self._runner.logits(each(rows, lambda part: part[i : i + 1])) for i in range(size)])  # noqa: B023
        seconds = min(time.perf_counter() - begun, size * self.row_seconds)
        if self._runner.logits(rows).tobytes() != alone.tobytes():
            return math.inf
        return _fastest(lambda: self._runner.logits(rows)) / seconds

    async def logits(self, rows: Inputs) -> NDArray[np.float32]:
        """Return `float32[rows, classes]` of prepared rows."""
        number = count(rows)
        if number * self.row_seconds <= INLINE_S:
            self._told(number)
            return self.run(self._runner, rows, number)
        if not self._threads:
            self._start()
        waiting = Waiting(rows, number, asyncio.get_running_loop().create_future())
        with self._ready:
            closed = self._closed
            if not closed:
                self._waiting.append(waiting)
                self._ready.notify()
        if closed:  # its version was let go of after the request had chosen it
            return await asyncio.to_thread(self.run, self._runner, rows, number)
        return await waiting.future

    def run(self, runner: Runner, rows: Inputs, number: int) -> NDArray[np.float32]:
        """Return the logits of rows, run in as few pieces as may be."""
        if number == 1:
            return runner.logits(rows)
        parts, done = [], 0
        while done < number:
            size = next((size for size in self.sizes if size <= number - done), 1)
            parts.append(runner.logits(each(rows, lambda part: part[done : done + size])))  # noqa: B023
            done += size
        return np.concatenate(parts)

    def _start(self) -> None:
        self._threads = [threading.Thread(target=self._work, args=(runner,), daemon=True) for runner in self._runners]
        for thread in self._threads:
            thread.start()

    def _work(self, runner: Runner) -> None:
        while (taken := self._take()) is not None:
            answers = self._answers(runner, taken)
            taken[0].future.get_loop().call_soon_threadsafe(_hand_out, taken, answers)

    def _answers(self, runner: Runner, taken: list[Waiting]) -> list[NDArray[np.float32] | Exception]:
        """Return the logits of each request, or what was raised; one that cannot be run together fails alone."""
        try:
            rows = taken[0].rows if len(taken) == 1 else joined([waiting.rows for waiting in taken])
            number = sum(waiting.count for waiting in taken)
            logits = self.run(runner, rows, number)
            self._told(number)
        except Exception as error:  # noqa: BLE001  whoever waits is told, and the thread lives on
            return [error] if len(taken) == 1 else [self._answers(runner, [waiting])[0] for waiting in taken]
        return [*np.split(logits, np.cumsum([waiting.count for waiting in taken])[:-1])]

    def _take(self) -> list[Waiting] | None:
        """Wait for rows, and return what runs together: at most the largest size, or one request; None once closed."""
        with self._ready:
            while not self._waiting and not self._closed:
                self._ready.wait()
            if not self._waiting:
                return None
            taken = [self._waiting.popleft()]
            room = self._most - taken[0].count
            while self._waiting and self._waiting[0].count <= room:
                taken.append(self._waiting.popleft())
                room -= taken[-1].count
            return taken

    def close(self) -> None:
        """Let the threads end once nothing waits."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()


def _hand_out(taken: list[Waiting], answers: list[NDArray[np.float32] | Exception]) -> None:
    for waiting, answer in zip(taken, answers, strict=True):
        if waiting.future.done():  # its client has gone
            continue
        if isinstance(answer, Exception):
            waiting.future.set_exception(answer)
        else:
            waiting.future.set_result(answer)


def _first(sample: Inputs, number: int) -> Inputs:
    """Return `number` rows, those of the sample over and over."""
    repeats = -(-number // count(sample))
    return each(sample, lambda part: np.concatenate([part] * repeats)[:number])


def _fastest(act: Callable[[], object]) -> float:
    """Return the seconds of the fastest of a few calls, after one that does not count."""
    act()
    times = []
    for _ in range(TRIES):
        begun = time.perf_counter()
        act()
        times.append(time.perf_counter() - begun)
    return min(times)
