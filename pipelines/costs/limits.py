"""Holds a run to its time and its money: when either is spent, the run is stopped as by a signal, and can go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from cluster.errors import StepError
from pipelines.runner import Listen

LOOK = 0.5  # seconds between two looks at the clock


class Limits:
    """Listens to a run, passes everything on, and sets `stop` once `timeout` seconds or `max_cost` are spent.

    Money is spent by steps that run, at their rates an hour, which are known of all where it is limited.
    """

    def __init__(
        self,
        listen: Listen,
        stop: threading.Event,
        rates: Mapping[str, float | None],
        timeout: float | None,
        max_cost: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listen, self._stop, self._clock = listen, stop, clock
        self._rates, self._timeout, self._max_cost = rates, timeout, max_cost
        self._began = self._since = clock()
        self._running: set[str] = set()
        self._spent = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._reason = ""

    def __call__(self, step: str, state: str, details: dict[str, Any]) -> None:
        """Pass it on, and take note of who runs."""
        self._listen(step, state, details)
        if state == "event":
            return
        with self._lock:
            self._count()
            (self._running.add if state == "running" else self._running.discard)(step)

    def __enter__(self) -> Self:
        if self._timeout is not None or self._max_cost is not None:
            threading.Thread(target=self._watch, daemon=True, name="limits of the run").start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()

    @property
    def spent(self) -> float:
        """What the run has cost so far, as far as rates are known."""
        with self._lock:
            self._count()
            return self._spent

    def error(self, name: str) -> StepError | None:
        """Return which limit ended the run called `name`, if one did."""
        return StepError(f"run of '{name}'", self._reason, remedy="run it again to go on") if self._reason else None

    def look(self) -> None:
        """Stop the run if a limit is reached."""
        took, spent = self._clock() - self._began, self.spent
        if self._timeout is not None and took >= self._timeout:
            self._reason = f"was stopped after its timeout of {self._timeout:g} s"
        elif self._max_cost is not None and spent >= self._max_cost:
            self._reason = f"was stopped when its max_cost of {self._max_cost:g} was spent"
        if self._reason:
            self._stop.set()

    def _watch(self) -> None:
        while not (self._reason or self._stop.is_set() or self._ended.wait(LOOK)):
            self.look()

    def _count(self) -> None:
        now = self._clock()
        an_hour = sum(self._rates.get(step) or 0.0 for step in self._running)
        self._spent += an_hour * (now - self._since) / 3600
        self._since = now
