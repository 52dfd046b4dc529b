"""A run on a terminal: a table of its steps that is redrawn as they go on, warnings above it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from pipelines.console import Progress, describe, duration

COLOURS = {
    "reused": "cyan",
    "running": "yellow",
    "done": "green",
    "failed": "red",
    "stopped": "magenta",
    "skipped": "dim",
}


class LiveTable:
    """A row a step: its name, its state, how long it took, and the last it told."""

    def __init__(
        self, steps: list[str], console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rows: dict[str, list[str]] = {step: ["", "", ""] for step in steps}
        self._progress = {step: Progress(clock) for step in steps}
        self._lock = threading.Lock()
        self._console = console or Console()
        self._live = Live(self._table(), console=self._console, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.update(self._table(), refresh=True)
        self._live.__exit__(kind, error, trace)

    def __call__(self, step: str, state: str, details: dict[str, Any]) -> None:
        """Redraw the step's row; warnings stay above the table."""
        with self._lock:
            self._progress[step].take(details)
            words = escape(describe(details, self._progress[step]))
            row = self._rows[step]
            if "warning" in details:
                self._console.print(f"[yellow]{step}: {words}[/]")
            elif state == "event":
                row[2] = words
            else:
                row[0] = f"[{COLOURS[state]}]{state}[/]"
                if "seconds" in details:
                    row[1] = duration(details["seconds"])  # and the last it told stays
                else:
                    row[2] = words or row[2]
            self._live.update(self._table())

    def _table(self) -> Table:
        table = Table("step", "state", "time", "", box=None, pad_edge=False)
        for step, cells in self._rows.items():
            table.add_row(step, *cells)
        return table
