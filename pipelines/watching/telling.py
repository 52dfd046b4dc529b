"""Tells Ray's metrics what happens in a run, from the driver, to whom every event of every step comes anyway."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, Self

from cluster.metrics import Metric
from cluster.session import is_connected
from jobs.watching.metrics import readings
from pipelines.watching.metrics import DONE, STEPS

AGAIN = 5.0  # seconds; Ray forgets a gauge that was not told in twenty


class Telling:
    """Follows a run and tells of it; without a cluster there is nobody to tell.

    What Ray is told is exported within ten seconds. In a block, gauges are told again and again until it ends: their
    last values are exported for twenty seconds more, if the process lives as long.
    """

    def __init__(self, definition: str, run: str, steps: int) -> None:
        self._tags = {"definition": definition, "run": run}
        self._made: dict[str, Any] = {}
        self._gauges: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._states: dict[str, str] = {}
        self._steps = steps
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._count(Counter(waiting=self._steps))
        threading.Thread(target=self._retell, daemon=True, name="tells metrics").start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()

    def __call__(self, step: str, state: str, details: dict[str, Any]) -> None:
        """Tell what it says."""
        if state == "event":
            for metric, value, tags in readings(details):
                self._tell(metric, value, {"step": step, **tags})
            return
        self._states[step] = state
        states = Counter(self._states.values())
        self._count(Counter(waiting=self._steps - states.total()) + states)
        if "seconds" in details:
            self._tell(DONE, float(details["seconds"]), {"step": step})

    def _count(self, states: Counter[str]) -> None:
        for state, number in {"waiting": 0, "running": 0, **states}.items():
            self._tell(STEPS, number, {"state": state})

    def _tell(self, metric: Metric, value: float, tags: dict[str, str]) -> None:
        if not is_connected():
            return
        with self._lock:
            if metric.name not in self._made:
                self._made[metric.name] = metric.made()
            told = {**self._tags, **tags}
            if metric.kind == "counter":
                self._made[metric.name].inc(value, told)
            else:
                self._gauges[metric.name, tuple(told.items())] = value
                self._made[metric.name].set(value, told)

    def _retell(self) -> None:
        while not self._ended.wait(AGAIN):
            with self._lock:
                for (name, tags), value in self._gauges.items():
                    self._made[name].set(value, dict(tags))
