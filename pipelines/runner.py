"""Runs the steps that have to run, side by side where they do not depend on one another and the cluster has room.

A failure stops what depends on it and nothing else. The runner knows no job, technique or strategy: it starts jobs,
records what they made, and says what happens to whoever listens.
"""

from __future__ import annotations

import json
import math
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any

from cluster.errors import EspalierError, RequestError, StepError
from cluster.resources import Resources
from cluster.retry import UNLIMITED, Failure, GiveUp, RetryPolicy
from cluster.work import Stopped
from jobs.artifacts import Artifact
from jobs.job import Output
from pipelines import graph
from pipelines.pipeline import Pipeline
from pipelines.plan import Planned
from pipelines.running.waiting import Waiting

POLL = 0.2  # seconds between two looks at what another thread may have set

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


@dataclass(frozen=True)
class _End:
    """What a step's thread hands to the main thread."""

    step: str
    state: str
    result: Artifact | BaseException
    seconds: float | None = None

    def details(self) -> dict[str, Any]:
        if isinstance(self.result, Stopped):
            return {}
        if not isinstance(self.result, Artifact):
            return {"error": text_of(self.result)}
        took = {} if self.seconds is None else {"seconds": self.seconds}
        return {**took, "artifact": str(self.result.folder)}


class Runner:
    """One run of a plan; `stop` ends it from outside."""

    def __init__(
        self,
        pipeline: Pipeline,
        planned: Mapping[str, Planned],
        total: Resources,
        listen: Listen,
        made: Mapping[str, Any],
        stop: threading.Event | None = None,
    ) -> None:
        self.planned = planned
        self.edges = graph.dependencies(pipeline)
        self.total = total
        self.listen = listen
        self.made = made
        self.stop = stop or threading.Event()
        self.outcome = Outcome()
        self._unmet = {name: set(self.edges[name]) for name in planned}  # of each step that has not begun
        self._waiting = Waiting({name: step.job.resources() for name, step in planned.items()})
        self._next = graph.needed_by(self.edges)
        self._running: dict[str, Resources] = {}
        self._kept: dict[str, Resources] = {}  # what steps that are done go on holding
        self._ended: SimpleQueue[_End] = SimpleQueue()

    def run(self) -> Outcome:
        """Run to the end, or until `stop` is set and what runs has stopped."""
        reused = {name: step.record for name, step in self.planned.items() if step.record is not None}
        self._unmet = {name: unmet for name, unmet in self._unmet.items() if name not in reused}
        for name in [name for name, unmet in self._unmet.items() if not unmet]:
            self._waiting.add(name)
        for name, record in reused.items():
            self.planned[name].tidy()
            self._take(_End(name, "reused", Artifact.load(self.planned[name].place.artifact(record))))
        self._start_ready()
        while self._running:
            self._take(self._next_end())
            self._start_ready()
        for name in self._unmet:
            self._state(name, "skipped", {"because": self._cause(name)})
        return self.outcome

    def _start_ready(self) -> None:
        while not self.stop.is_set() and (name := self._startable()) is not None:
            self._waiting.remove(name)
            del self._unmet[name]
            self._running[name] = self._waiting.asked[name]
            threading.Thread(target=self._run_step, args=(self.planned[name],), name=name, daemon=True).start()

    def _startable(self) -> str | None:
        """Return the first step that is ready, has room, and starves no other."""
        # Summed anew each time: fractions of a CPU that are added and subtracted do not come back to nothing.
        held = sum([*self._running.values(), *self._kept.values()], Resources())
        ready = self._waiting.that_fit(lambda asked: (held + asked).fits(self.total))
        return next((name for name in ready if not self._would_starve(name)), None)

    def _would_starve(self, name: str) -> bool:
        """Say whether what the step goes on holding would leave no room for one that does not depend on it."""
        keeps = self.planned[name].job.keeps()
        if keeps == Resources():
            return False
        held = sum(self._kept.values(), keeps)
        after = {name, *graph.dependants(self.edges, name)}
        for other in self._unmet.keys() - after:
            job = self.planned[other].job
            waits = job.keeps() == Resources() and self.outcome.errors.keys().isdisjoint(
                graph.ancestors(self.edges, [other])
            )
            if waits and not (held + job.resources()).fits(self.total):
                return True
        return False

    def _next_end(self) -> _End:
        while True:
            try:
                return self._ended.get(timeout=POLL)  # short, so that Ctrl-C is heard
            except Empty:
                continue

    def _take(self, end: _End) -> None:
        self._running.pop(end.step, None)
        if isinstance(end.result, Artifact):
            self.outcome.artifacts[end.step] = end.result
            if end.state == "done" and (keeps := self.planned[end.step].job.keeps()) != Resources():
                self._kept[end.step] = keeps
            for name in self._next[end.step]:
                if name in self._unmet:
                    self._unmet[name].discard(end.step)
                    if not self._unmet[name]:
                        self._waiting.add(name)
        else:
            self.outcome.errors[end.step] = end.result
        self._state(end.step, end.state, end.details())

    def _state(self, name: str, state: str, details: dict[str, Any]) -> None:
        self.outcome.states[name] = state
        self.listen(name, state, details)

    def _cause(self, name: str) -> str:
        needed = graph.ancestors(self.edges, [name])
        failed = [need for need in needed if self.outcome.states.get(need) == "failed"]
        return f"because '{failed[0]}' failed" if failed else "because the run was stopped"

    def _run_step(self, step: Planned) -> None:
        """Run one step in its own thread."""
        try:
            end = self._worked(step)
        except BaseException as error:  # noqa: BLE001  a thread's every end must reach the main thread
            end = _End(step.name, "stopped" if self.stop.is_set() else "failed", error)
        self._ended.put(end)

    def _worked(self, step: Planned) -> _End:
        place = step.place
        place.lease.acquire(lambda text: self._waits(step, text), self.stop)
        try:
            record = None if step.fresh else place.record()  # another run may have made it since the plan
            if record is not None and record.attempt != step.gone and not place.verify(record):
                return _End(step.name, "reused", Artifact.load(place.artifact(record)))
            place.sweep()
            if step.fresh:
                place.checkpoints.delete()
            began = time.monotonic()
            artifact = self._attempts(step, Log(step, self.listen, str(self.made.get("page", ""))))
            return _End(step.name, "done", artifact, round(time.monotonic() - began, 3))
        finally:
            place.lease.release()

    def _waits(self, step: Planned, text: str) -> None:
        self.listen(step.name, "event", {"waiting": text.removeprefix(f"{step.place.folder}: ")})

    def _attempts(self, step: Planned, log: Log) -> Artifact:
        self.listen(step.name, "running", {"asked": str(step.job.resources())})
        policy = RetryPolicy() if step.job.retries_itself else RetryPolicy.of(step.job.retries)
        tries = UNLIMITED if policy.max_failures is None else 1 + policy.max_failures
        failures: list[Failure] = []
        while True:
            try:
                artifact = self._attempt(step, log)
            except Exception as error:
                told = traceback.format_exc()
                log.write({"error": text_of(error), "traceback": told})
                failures.append(Failure(text_of(error), traceback=told, final=not self._may_retry(step, error)))
                if isinstance(policy.decide(failures), GiveUp):
                    raise
                log({"warning": f"attempt {len(failures)} of {tries} failed: {text_of(error)}"})
            else:
                log.write({"done": step.name, "artifact": str(artifact.folder)})
                return artifact

    def _may_retry(self, step: Planned, error: Exception) -> bool:
        """Say whether another attempt could end otherwise: not when the request is wrong, or the place another's."""
        return not (isinstance(error, RequestError) or self.stop.is_set() or step.place.lease.lost)

    def _attempt(self, step: Planned, log: Log) -> Artifact:
        attempt = step.place.begin()
        late = threading.Event()
        place, stop = step.place, _Either(self.stop, late)
        out = Output(step.name, attempt.folder, place.checkpoints, log, stop, definition=place.pipeline)
        limit = threading.Timer(step.job.timeout or 0, late.set)
        try:
            if step.job.timeout is not None:
                limit.start()
            inputs = {need: self.outcome.artifacts[need] for need in self.edges[step.name]}
            artifact = step.job.run(inputs, out).save(attempt.folder)
            attempt.finish(type(artifact).__name__, step.identity, self.made["versions"], self.made["commit"])
            return artifact
        except BaseException:
            attempt.discard()
            if late.is_set() and not self.stop.is_set():
                took = f"took longer than its timeout of {step.job.timeout:g} s"
                raise StepError(f"step '{step.name}'", took, remedy="raise its timeout") from None
            raise
        finally:
            limit.cancel()


def text_of(error: BaseException) -> str:
    """Return an error's text; one that is not ours is told with its type."""
    return str(error) if isinstance(error, EspalierError) else f"{type(error).__name__}: {error}"


class _Either(threading.Event):
    """Set when the run is stopped or when the step's time is up; what sets it is one of the two."""

    def __init__(self, run: threading.Event, late: threading.Event) -> None:
        super().__init__()
        self._events = (run, late)

    def is_set(self) -> bool:
        return any(event.is_set() for event in self._events)

    def wait(self, timeout: float | None = None) -> bool:
        end = math.inf if timeout is None else time.monotonic() + timeout
        while not self.is_set() and (left := end - time.monotonic()) > 0:
            self._events[1].wait(min(POLL, left))
        return self.is_set()


class Log:
    """Writes what a step tells to its log, one JSON object a line, and passes it on."""

    def __init__(self, step: Planned, listen: Listen, page: str = "") -> None:
        self._step, self._listen, self._path = step, listen, step.place.log_path
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and not self._path.read_bytes().endswith(b"\n"):
            with self._path.open("a") as file:
                file.write("\n")  # a run that was killed left half a line
        self.write({"start": step.name, "because": step.reasons} | ({"page": page} if page else {}))

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event of the step; a traceback is for the log alone."""
        self.write(event)
        if "traceback" not in event:
            self._listen(self._step.name, "event", event)

    def write(self, event: Mapping[str, Any]) -> None:
        """Append an event to the log."""
        stamp = datetime.now(UTC).isoformat(timespec="seconds")
        with self._path.open("a") as file:
            file.write(json.dumps({"at": stamp, **event}, default=str) + "\n")
