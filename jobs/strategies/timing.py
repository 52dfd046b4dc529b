"""Times train steps: what an engine fills the `timing` of an epoch with. It knows no strategy."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from jobs.artifacts import Timing


class Calls:
    """The wall time of calls that make several train steps each; a stopwatch that is set back every epoch."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the calls so far."""
        self._seconds: list[float] = []  # of each call
        self._of_steps: list[float] = []

    @contextmanager
    def of(self, steps: int) -> Iterator[list[float]]:
        """Time a call that makes `steps` train steps; it must have ended when the block does.

        Who knows how long each of them took puts the seconds into the list; without, each has the mean.
        """
        each: list[float] = []
        started = time.perf_counter()
        yield each
        self._seconds.append(time.perf_counter() - started)
        self._of_steps += each or [self._seconds[-1] / steps] * steps

    def timing(
        self,
        rows: Sequence[float],
        bytes_sent: int,
        input_seconds: float | None = None,
        exchange_seconds: float | None = None,
    ) -> Timing | None:
        """Return where the time went, None when there was no call.

        `rows` are those of each worker; `bytes_sent` and `exchange_seconds` are of one train step.
        """
        if not self._seconds:
            return None
        total, steps = sum(self._seconds), len(self._of_steps)
        p50, p90, p99 = percentiles(self._of_steps)
        return Timing(
            rows_per_second=[count / total for count in rows],
            calls=len(self._seconds),
            train_steps=steps,
            p50_ms=p50,
            p90_ms=p90,
            p99_ms=p99,
            seconds=total,
            input_seconds=input_seconds,
            communication_seconds=None if exchange_seconds is None else exchange_seconds * steps,
            bytes_sent=bytes_sent,
        )


def percentiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    """Return the 50th, 90th and 99th percentile in milliseconds."""
    p50, p90, p99 = (float(value) * 1e3 for value in np.percentile(seconds, [50, 90, 99]))
    return p50, p90, p99


def ring_bytes(size: int, members: int) -> int:
    """Return the bytes all `members` together send to sum `size` bytes by a ring (Patarasuk & Yuan, 2009).

    Each sends 2·(members-1)/members · size.
    """
    return 2 * (members - 1) * size
