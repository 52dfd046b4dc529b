"""What a run shows while it runs: a live table on a terminal, plain lines elsewhere, JSON lines on request."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

LONGEST = 160  # characters of an error on its step's line; the whole of it is told at the end and in the log


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
    if not sys.stdout.isatty():
        return Lines(steps)
    from pipelines.live_table import LiveTable  # rich's console takes as long to import as a definition to load

    return LiveTable(steps)


def say(text: str) -> None:
    """Print a line at once; when nobody reads any more, the work goes on and its logs tell the rest."""
    try:
        print(f"{text}\n", end="", flush=True)  # in one piece: several threads print
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  it lives as long as the process


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a line a row, the cells below one another."""
    table = [list(row) for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def duration(seconds: float) -> str:
    """Return a time in the units people use."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def describe(event: Mapping[str, Any], progress: Progress | None = None) -> str:
    """Return an event as a few words."""
    if "epoch" in event:
        return _epoch(event["epoch"], progress)
    for name, words in _KNOWN.items():
        if name in event:
            return words(event)
    return ", ".join(f"{name} {_plain(value)}" for name, value in event.items() if value not in ("", [], None))


def _epoch(facts: Mapping[str, Any], progress: Progress | None) -> str:
    total = f"/{progress.epochs}" if progress and progress.epochs else ""
    words = (
        f"{facts['phase']} epoch {facts['epoch']}{total}, {_trained(facts)}"
        f"validation {facts['validation_accuracy']:.4f}, {facts['rows_per_second']:,.0f} rows/s"
    )
    words += "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in facts.get("facts", {}).items())
    eta = progress.eta(facts["epoch"]) if progress else None
    return words if eta is None else f"{words}, ETA {duration(eta)}"


def _trained(facts: Mapping[str, Any]) -> str:
    """Return what training rows showed; nothing where that is private."""
    if facts["loss"] is None:
        return ""
    return f"loss {facts['loss']:.4f}, accuracy {facts['accuracy']:.4f}, "


def _start(event: Mapping[str, Any]) -> str:
    if "because" in event:  # a step's, in its log
        return f"started: {'; '.join(event['because'])}"
    return f"{event['start']}, {event['epochs']} epochs" if event.get("epochs") else str(event["start"])


def _judged(event: Mapping[str, Any]) -> str:
    sure = f" ({event['accuracy_low']:.4f} to {event['accuracy_high']:.4f})" if "accuracy_low" in event else ""
    words = f"{event['judged']}: accuracy {event['accuracy']:.4f}{sure}, {event['size_bytes']:,} bytes"
    return f"{words}, p99 {event['p99_ms']:.3f} ms"


def _rows(event: Mapping[str, Any]) -> str:
    more = {name: value for name, value in event.items() if name not in ("rows", "rows_per_second")}
    speed = [f"{event['rows_per_second']:,.0f} rows/s"] if "rows_per_second" in event else []
    return ", ".join([f"rows {event['rows']:,}", *speed, *(f"{name} {_plain(value)}" for name, value in more.items())])


def _resume(event: Mapping[str, Any]) -> str:
    within = f", at train_step {event['train_step']:,}" if event.get("train_step") else ""
    return f"{event['resume']} goes on after epoch {event['after_epoch']}{within}"


def _retry(event: Mapping[str, Any]) -> str:
    log = f"; its log: {event['log']}" if event["log"] else ""
    return f"{event['retry']}{log}; restart {event['restart']}"


def _trial(event: Mapping[str, Any]) -> str:
    """Return how a trial of a sweep ended, or which one won."""
    if "values" in event:
        chosen = ", ".join(f"{name} {value}" for name, value in event["values"].items())
        return f"best of '{event['best_of']}' is trial {event['trial']}: {chosen}"
    shown = ", ".join(f"{name} {value:.4g}" for name, value in event["measured"].items())
    words = f"trial {event['trial']} of {event['trials']} {event['status']} after epoch {event['epochs']}"
    return ": ".join(part for part in (words, event["failed"] or shown) if part)


def _plain(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


_KNOWN: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "start": _start,
    "trial": _trial,
    "judged": _judged,
    "rows": _rows,
    "answered": lambda event: f"{event['url']} answered a real request: {event['answered']}",
    "resume": _resume,
    "retry": _retry,
    "preemption": lambda event: f"{event['preemption']} is about to lose its node: a checkpoint is kept",
    "compression_ratio": lambda event: f"{event['compression_ratio']:.2f} times smaller",
    "warning": lambda event: f"warning: {event['warning']}",
    "waiting": lambda event: str(event["waiting"]),
    "asked": lambda event: f"on {event['asked']}",
    "seconds": lambda event: f"in {duration(event['seconds'])}",
    "error": lambda event: _first_line(str(event["error"])),
    "because": lambda event: str(event["because"]),
    "done": lambda event: "done",
    "artifact": lambda event: "",  # for programs; people ask `espalier status`
}


def _first_line(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


class Progress:
    """How far a training is: epochs wanted, and the time they take."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.epochs = 0
        self._clock = clock
        self._first: tuple[int, float] | None = None

    def take(self, event: Mapping[str, Any]) -> None:
        """Look at an event."""
        if "start" in event:
            self.epochs, self._first = int(event.get("epochs", 0)), None
        elif "epoch" in event and self._first is None:
            self._first = (event["epoch"]["epoch"], self._clock())

    def eta(self, epoch: int) -> float | None:
        """Return the seconds left, if any; None until two epochs have been seen."""
        if not self.epochs or self._first is None or epoch <= self._first[0]:
            return None
        return (self._clock() - self._first[1]) / (epoch - self._first[0]) * (self.epochs - epoch) or None


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
        say(json.dumps({"step": step, "state": state, **details}, default=str))


class Lines(_Quiet):
    """Plain lines, the steps' names in one column."""

    def __init__(self, steps: list[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._width = max(map(len, steps))
        self._progress = {step: Progress(clock) for step in steps}
        self._lock = threading.Lock()

    def __call__(self, step: str, state: str, details: dict[str, Any]) -> None:
        """Print the state or the event."""
        with self._lock:
            self._progress[step].take(details)
            words = describe(details, self._progress[step])
            text = words if state == "event" else f"{state} {words}".rstrip()
            say(f"{step.ljust(self._width)}  {text}")
