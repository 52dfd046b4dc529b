"""What a run shows while it runs: a live table on a terminal, plain lines elsewhere, JSON lines on request."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

MARKS = {
    "reused": "[cyan]reused[/]",
    "running": "[yellow]running[/]",
    "done": "[green]done[/]",
    "failed": "[red]failed[/]",
    "stopped": "[magenta]stopped[/]",
}


class Screen(Protocol):
    """Shows what happens to steps; a context manager around the run, called from several threads."""

    def __call__(self, step: str, state: str, details: dict[str, Any]) -> None:
        """Show that `step` is in `state`, or ("event") what it told."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def screen(steps: list[str], as_json: bool) -> Screen:
    """Return the screen that fits where the output goes."""
    if as_json:
        return JsonLines()
    return LiveTable(steps) if sys.stdout.isatty() else Lines()


def describe(event: Mapping[str, Any], progress: Progress | None = None) -> str:
    """Return an event as a few words."""
    if "epoch" in event:
        return _epoch(event["epoch"], progress)
    if "judged" in event:
        words = f"{event['judged']}: accuracy {event['accuracy']:.4f}, {event['size_bytes']:,} bytes"
        return f"{words}, p99 {event['p99_ms']:.3f} ms"
    if "answered" in event:
        return f"{event['url']} answered a real request: {event['answered']}"
    return ", ".join(f"{name} {value}" for name, value in event.items() if value not in ("", [], None))


def _epoch(facts: Mapping[str, Any], progress: Progress | None) -> str:
    total = f"/{progress.epochs}" if progress and progress.epochs else ""
    words = (
        f"{facts['phase']} epoch {facts['epoch']}{total}, loss {facts['loss']:.4f}, accuracy {facts['accuracy']:.4f}, "
        f"validation {facts['validation_accuracy']:.4f}, {facts['rows_per_second']:,.0f} rows/s"
    )
    eta = progress.eta(facts["epoch"]) if progress else None
    return words if eta is None else f"{words}, ETA {eta:.0f} s"


class Progress:
    """How far a training is: epochs wanted, and the time they take."""

    def __init__(self) -> None:
        self.epochs = 0
        self._first: tuple[int, float] | None = None

    def take(self, event: Mapping[str, Any]) -> None:
        """Look at an event."""
        if "start" in event:
            self.epochs, self._first = int(event.get("epochs", 0)), None
        elif "epoch" in event and self._first is None:
            self._first = (event["epoch"]["epoch"], time.monotonic())

    def eta(self, epoch: int) -> float | None:
        """Return the seconds left, once two epochs have been seen."""
        if not self.epochs or self._first is None or epoch <= self._first[0]:
            return None
        return (time.monotonic() - self._first[1]) / (epoch - self._first[0]) * (self.epochs - epoch)


class _Quiet:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class JsonLines(_Quiet):
    """One JSON object a line."""

    def __call__(self, step: str, state: str, details: dict[str, Any]) -> None:
        """Print the state or the event."""
        print(json.dumps({"step": step, "state": state, **details}), flush=True)


class Lines(_Quiet):
    """Plain lines."""

    def __init__(self) -> None:
        self._progress: dict[str, Progress] = {}

    def __call__(self, step: str, state: str, details: dict[str, Any]) -> None:
        """Print the state or the event."""
        progress = self._progress.setdefault(step, Progress())
        progress.take(details)
        words = describe(details, progress)
        print(f"{step}: {words if state == 'event' else f'{state} ({words})' if words else state}", flush=True)


class LiveTable:
    """A table of steps that is redrawn as they go on."""

    def __init__(self, steps: list[str]) -> None:
        self._rows: dict[str, list[str]] = {step: ["", ""] for step in steps}
        self._progress = {step: Progress() for step in steps}
        self._lock = threading.Lock()
        self._console = Console()
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
            if "warning" in details:
                self._console.print(f"[yellow]{step}: {words}[/]")
            elif state == "event":
                self._rows[step][1] = words
            else:
                self._rows[step][0] = MARKS[state]
                self._rows[step][1] = words or self._rows[step][1]
            self._live.update(self._table())

    def _table(self) -> Table:
        table = Table("step", "state", "", box=None, pad_edge=False)
        for step, (state, words) in self._rows.items():
            table.add_row(step, state, words)
        return table
