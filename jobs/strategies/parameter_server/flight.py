"""Closures on their way to workers: how many fly at once, and what they bring back."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

LOOK = 0.25  # seconds between two looks at who died


class Flight:
    """Closures that were scheduled and have not landed: at most `most`. A lost worker's are done again by another."""

    def __init__(self, coordinator: Any, most: int, look: Callable[[], None]) -> None:
        self.most = most
        self.highest = 0  # closures that were out at once since this was set to 0
        self._coordinator, self._look = coordinator, look
        self._landed: queue.SimpleQueue[tuple[Callable[[Any], None], Any, Exception | None]] = queue.SimpleQueue()
        self._out = 0
        self._looked = time.monotonic()

    def launch(self, closure: Any, args: tuple[Any, ...], take: Callable[[Any], None]) -> None:
        """Schedule `closure(*args)` once there is room; `take` is given its result, here, when it has landed."""
        while self._out >= self.most:
            self._land()
        value = self._coordinator.schedule(closure, args=args)
        self._out += 1
        self.highest = max(self.highest, self._out)
        threading.Thread(target=self._follow, args=(value, take), daemon=True).start()

    def wait(self) -> None:
        """Return once everything has landed."""
        while self._out:
            self._land()

    def _follow(self, value: Any, take: Callable[[Any], None]) -> None:
        try:
            self._landed.put((take, value.fetch(), None))
        except Exception as error:  # noqa: BLE001  it is raised where somebody waits
            self._landed.put((take, None, error))

    def _land(self) -> None:
        while True:
            if time.monotonic() - self._looked > LOOK:
                self._looked = time.monotonic()
                self._look()
            try:
                take, value, error = self._landed.get(timeout=LOOK)
                break
            except queue.Empty:
                continue
        self._out -= 1
        if isinstance(error, tf.errors.CancelledError):
            self._coordinator.join()  # raises what the others were cancelled for
        if error is not None:
            raise error
        take(value)
