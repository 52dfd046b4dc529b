"""Runs the steps that have to run, side by side where they do not depend on one another and the cluster has room.

A failure stops what depends on it and nothing else. The runner knows no job, technique or strategy: it starts jobs,
records what they made, and says what happens to whoever listens.
"""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any

from cluster.errors import EspalierError, StepError
from cluster.resources import Resources
from jobs.artifacts import Artifact
from jobs.job import Output
from pipelines import graph
from pipelines.pipeline import Pipeline
from pipelines.plan import Planned
from pipelines.store import Attempt, Record

Listen = Callable[[str, str, dict[str, Any]], None]  # (step, state or "event", details)


@dataclass
class Outcome:
    """How a run ended: the state of every step, and the error of each that failed."""

    states: dict[str, str] = field(default_factory=dict)
    errors: dict[str, BaseException] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether every step was reused or done."""
        return all(state in ("reused", "done") for state in self.states.values())


class Runner:
    """One run of a plan."""

    def __init__(
        self,
        pipeline: Pipeline,
        planned: Mapping[str, Planned],
        total: Resources,
        listen: Listen,
        made: Mapping[str, Any],
    ) -> None:
        self.planned = planned
        self.edges = graph.dependencies(pipeline)
        self.free = total
        self.listen = listen
        self.made = made
        self.stop = threading.Event()
        self.outcome = Outcome()
        self._ended: SimpleQueue[tuple[str, Artifact | BaseException]] = SimpleQueue()

    def run(self) -> Outcome:
        """Run to the end, or until `stop` is set and what runs has stopped; KeyboardInterrupt passes through."""
        for name, step in self.planned.items():
            if step.record is not None:
                self.outcome.artifacts[name] = Artifact.load(step.place.artifact(step.record))
                self._state(name, "reused")
        running: dict[str, Resources] = {}
        while True:
            self._start_ready(running)
            if not running:
                break
            self._await_one(running)
        for name in self.planned:
            if name not in self.outcome.states:
                self._state(name, "stopped", {"because": self._cause(name)})
        return self.outcome

    def _start_ready(self, running: dict[str, Resources]) -> None:
        for name, step in self.planned.items():
            ready = all(need in self.outcome.artifacts for need in self.edges[name])
            asked = step.job.resources()
            if self.stop.is_set() or name in self.outcome.states or name in running or not ready:
                continue
            if asked.fits(self.free):
                self.free -= asked
                running[name] = asked
                threading.Thread(target=self._run_step, args=(step,), name=name, daemon=True).start()

    def _await_one(self, running: dict[str, Resources]) -> None:
        while True:
            try:
                name, result = self._ended.get(timeout=0.2)  # short, so that Ctrl-C is heard
                break
            except Empty:
                continue
        self.free += running.pop(name)
        if isinstance(result, Artifact):
            self.outcome.artifacts[name] = result
            self._state(name, "done")
            return
        self.outcome.errors[name] = result
        self._state(name, "stopped" if self.stop.is_set() else "failed", {"error": str(result)})

    def _state(self, name: str, state: str, details: dict[str, Any] | None = None) -> None:
        self.outcome.states[name] = state
        self.listen(name, state, details or {})

    def _cause(self, name: str) -> str:
        failed = [need for need in graph.ancestors(self.edges, [name]) if need in self.outcome.errors]
        return f"'{failed[0]}' failed" if failed else "the run was stopped"

    def _run_step(self, step: Planned) -> None:
        """Run one step in its own thread; what it made or raised is handed to the main thread."""
        try:
            self._ended.put((step.name, self._worked(step)))
        except BaseException as error:  # noqa: BLE001  a thread's every end must reach the main thread
            self._ended.put((step.name, error))

    def _worked(self, step: Planned) -> Artifact:
        place = step.place
        place.lease.acquire(lambda text: self.listen(step.name, "event", {"waiting": text}), self.stop)
        try:
            made_meanwhile = place.record() if not any("fresh" in reason for reason in step.reasons) else None
            if made_meanwhile is not None and not place.verify(made_meanwhile):
                return Artifact.load(place.artifact(made_meanwhile))
            place.sweep()
            return self._attempts(step, Log(step, self.listen))
        finally:
            place.lease.release()

    def _attempts(self, step: Planned, log: Log) -> Artifact:
        self.listen(step.name, "running", {"asked": str(step.job.resources())})
        tries = 1 if step.job.retries_itself else 1 + step.job.retries
        for number in range(1, tries + 1):
            try:
                return self._attempt(step, log)
            except EspalierError as error:
                log.write({"error": str(error), "traceback": traceback.format_exc()})
                if number == tries or self.stop.is_set():
                    raise
                log({"warning": f"attempt {number} of {tries} failed: {error}"})
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, step: Planned, log: Log) -> Artifact:
        attempt = step.place.begin()
        stop = threading.Event()
        out = Output(step.name, attempt.folder, step.place.checkpoints, log, _Either(self.stop, stop))
        limit = threading.Timer(step.job.timeout, stop.set) if step.job.timeout else None
        try:
            if limit is not None:
                limit.start()
            inputs = {need: self.outcome.artifacts[need] for need in self.edges[step.name]}
            artifact = step.job.run(inputs, out).save(attempt.folder)
            self._record(step, attempt, artifact)
            return artifact
        except BaseException:
            attempt.discard()
            if stop.is_set() and not self.stop.is_set():
                raise StepError(
                    f"step '{step.name}'", f"took over {step.job.timeout:g} s", "an end before its timeout"
                ) from None
            raise
        finally:
            if limit is not None:
                limit.cancel()

    def _record(self, step: Planned, attempt: Attempt, artifact: Artifact) -> Record:
        return attempt.finish(
            type(artifact).__name__, step.identity, versions=self.made["versions"], commit=self.made["commit"]
        )


class _Either(threading.Event):
    """Set when the run is stopped or when the step is."""

    def __init__(self, run: threading.Event, step: threading.Event) -> None:
        super().__init__()
        self._events = (run, step)

    def is_set(self) -> bool:
        return any(event.is_set() for event in self._events)


class Log:
    """Writes what a step tells to its log, one JSON object a line, and passes it on."""

    def __init__(self, step: Planned, listen: Listen) -> None:
        self._step, self._listen, self._path = step, listen, step.place.log_path
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.write({"start": step.name, "because": step.reasons})

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event of the step."""
        self.write(event)
        self._listen(self._step.name, "event", event)

    def write(self, event: Mapping[str, Any]) -> None:
        """Append an event to the log."""
        stamp = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
        with self._path.open("a") as file:
            file.write(json.dumps({"at": stamp, **event}) + "\n")
