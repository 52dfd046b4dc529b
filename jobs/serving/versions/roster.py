"""The versions a replica holds side by side, which one answers a request, and how each has done so far."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, TypeVar

import numpy as np

from jobs.data.rows import BadRow
from jobs.serving.answering.observing import Observer
from jobs.serving.answering.patience import within
from jobs.serving.plan import Plan
from jobs.serving.refused import Refused
from jobs.serving.versions.version import Version

KEPT = 2_000  # latencies of each version
COPIES = 4  # of requests in the hands of a shadow; those that come meanwhile are not copied
FUSE_ERRORS = 3  # of a version that is not proven, at least, until it answers none
PART = 0.5  # of a request's time that a version may take while the proven one is to answer what it fails
log = logging.getLogger("ray.serve")
T = TypeVar("T")
Ask = Callable[[Version], Coroutine[Any, Any, T]]
Labels = Callable[[Version, T], list[Any]]  # of what a version answered, by which versions are compared


@dataclass
class Tally:
    """How a version has done since it was loaded; seconds are of single requests, queueing included."""

    requests: int = 0  # that came to an end
    errors: int = 0
    last_error: str = ""
    compared: int = 0  # rows, as a shadow
    differ: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    begun: int = 0
    waiting: dict[int, float] = field(default_factory=dict)  # when those began that have not come to an end

    def facts(self) -> dict[str, Any]:
        """Return the counts and the percentiles in milliseconds; None of no requests."""
        found, now = np.array(list(self.seconds)) * 1000, time.perf_counter()
        p50, p99 = (float(np.percentile(found, q)) if len(found) else None for q in (50, 99))
        counts = {name: getattr(self, name) for name in ("requests", "errors", "last_error", "compared", "differ")}
        waiting = [round((now - begun) * 1000, 4) for begun in list(self.waiting.values())]
        latest = [round(float(ms), 4) for ms in found[-500:]]
        return {**counts, "p50_ms": p50, "p99_ms": p99, "latest_ms": latest, "waiting_ms": waiting}


class Roster:
    """Holds versions by name. A version that fails too often while another answers is put out of use at once."""

    def __init__(self, plan: Plan, observers: Sequence[Observer] = ()) -> None:
        self.versions: dict[str, Version] = {}
        self.tallies: dict[str, Tally] = {}
        self.tripped: dict[str, str] = {}
        self._since: dict[str, tuple[int, int]] = {}  # requests and errors when the plan came to be followed
        self._observers = observers
        self._copies: set[asyncio.Task[None]] = set()
        self.plan = plan

    @property
    def plan(self) -> Plan:
        """The plan that is followed."""
        return self._plan

    @plan.setter
    def plan(self, plan: Plan) -> None:
        serving = plan.serving()
        self._plan, self._serving = plan, serving.version if serving else ""
        self._weights = {one.version: one.weight for one in plan.versions}

    def load(self, plan: Plan) -> None:
        """Load every version of `plan` that is not there yet. It blocks; nothing that is answered changes."""
        for asked in plan.versions:
            name = asked.version
            if (held := self.versions.get(name)) is not None:
                held.run_by(plan.threads)
                continue
            made = Version(asked, lambda: self.plan.limits, plan.threads, self._batched)
            for observer in self._observers:
                observer.knows(name, made.classifier.model)
            self.tallies[name] = Tally()
            self.tripped.pop(name, None)
            self._since.pop(name, None)
            self.versions[name] = made

    def follow(self, plan: Plan) -> None:
        """Answer by the shares of `plan` from now on, and let go of versions it does not hold.

        With another plan than before each version begins anew: what it failed at until then puts none out of use.
        """
        if plan != self.plan:
            self.tripped.clear()
            self._since = {name: (tally.requests, tally.errors) for name, tally in self.tallies.items()}
        self.plan = plan
        for name in [name for name in self.versions if name not in self._weights]:
            self.versions.pop(name).close()  # requests in its hands hold on to it
            for held in (self.tallies, self.tripped, self._since):
                held.pop(name, None)
            for observer in self._observers:
                observer.forgets(name)

    def _batched(self, version: str, rows: int) -> None:
        for observer in self._observers:
            observer.batched(version, rows)

    def chosen(self, named: str = "") -> Version:
        """Return the version named, or one by the shares; Refused(404) when it is not held, 503 when none is."""
        if named:
            if named not in self.versions:
                raise Refused(404, f"there is no version {named[:64]}")
            return self.versions[named]
        names = [name for name in self._weights if name in self.versions]
        if len(names) == 1:
            return self.versions[names[0]]
        weights = [self._share(name) for name in names]
        if not any(weights):
            raise Refused(503, "no version is loaded", 1)
        return self.versions[random.choices(names, weights)[0]]

    def _share(self, version: str) -> float:
        out_of_use = version in self.tripped and version != self._serving
        return 0.0 if out_of_use else self._weights.get(version, 0.0)

    async def answered(self, named: str, ask: Ask[T], labels: Labels[T]) -> tuple[Version, T]:
        """Return what `ask` made of a version, and the version: where a candidate fails, the proven one is asked.

        What a candidate refuses, and the proven one answers, is the candidate's failure. A shadow, where there is one,
        is asked the same once the answer is on its way.
        """
        version = self.chosen(named)
        stable = None if named or version.name == self._serving else self.versions.get(self._serving)
        try:
            result = await self._counted(version, ask, 1.0 if stable is None else PART)
        except Exception as error:
            if stable is None:
                raise
            result = await self._counted(stable, ask)
            if isinstance(error, Refused | BadRow):
                self._failed(version, error)
            return stable, result
        if self.plan.shadow is not None and not named:
            self._copy(version, ask, labels, result)
        return version, result

    async def _counted(self, version: Version, ask: Ask[T], part: float = 1.0) -> T:
        """Return what `ask` makes of a version within this part of a request's time, and count it.

        Who was given up by others counts as failed only where it has had its part: else its client has gone.
        """
        tally = self.tallies.setdefault(version.name, Tally())
        tally.begun += 1
        number, limit, begun = tally.begun, self.plan.limits.seconds, time.perf_counter()
        tally.waiting[number] = begun
        try:
            result = await within(part * limit, ask(version))
        except (Refused, BadRow):
            tally.requests += 1
            raise
        except (Exception, asyncio.CancelledError) as error:
            seconds = time.perf_counter() - begun
            if isinstance(error, Exception) or seconds >= PART * limit:
                tally.requests += 1
                tally.seconds.append(seconds)
                self._failed(version, error)
            raise
        finally:
            del tally.waiting[number]
        tally.requests += 1
        tally.seconds.append(time.perf_counter() - begun)
        return result

    def _failed(self, version: Version, error: BaseException) -> None:
        """Count an error, and put a version out of use that fails too many since the plan came to be followed."""
        tally = self.tallies.setdefault(version.name, Tally())
        tally.errors += 1
        tally.last_error = f"{type(error).__name__}: {str(error) or 'it took too long'}"[:300]
        requests, errors = self._since.get(version.name, (0, 0))
        requests, errors = tally.requests - requests, tally.errors - errors
        enough = errors >= FUSE_ERRORS and errors > self.plan.error_share * requests
        if enough and self._serving not in ("", version.name):
            self.tripped.setdefault(version.name, f"{errors} of {requests} requests failed")

    def _copy(self, version: Version, ask: Ask[T], labels: Labels[T], result: T) -> None:
        shadow = self.plan.shadow
        held = None if shadow is None or shadow.version in self.tripped else self.versions.get(shadow.version)
        if shadow is None or held is None or held is version or len(self._copies) >= COPIES:
            return
        if random.random() < shadow.share:
            task = asyncio.create_task(self._compared(held, ask, labels, labels(version, result)))
            self._copies.add(task)
            task.add_done_callback(self._copies.discard)

    async def _compared(self, shadow: Version, ask: Ask[T], labels: Labels[T], wanted: list[Any]) -> None:
        """Ask a shadow what another version has answered, and count of how many rows it says another label."""
        tally = self.tallies.setdefault(shadow.name, Tally())
        try:
            found = labels(shadow, await self._counted(shadow, ask, PART))
        except (Refused, BadRow) as error:
            self._failed(shadow, error)
            return
        except Exception:
            log.exception("version %s failed in the shadow", shadow.name)
            return
        tally.compared += len(wanted)
        tally.differ += sum(one != other for one, other in zip_longest(wanted, found))

    def card(self, named: str = "") -> dict[str, Any]:
        """Return what is known of the version named, or of the one most requests go to, and of the process."""
        serving = self.plan.serving()
        version = self.chosen(named or (serving.version if serving else ""))
        return {"model": self.plan.model, "process": os.getpid(), "versions": list(self.versions), **version.card}

    def facts(self) -> dict[str, Any]:
        """Return what is loaded, how each version did, and which were put out of use."""
        return {
            "versions": {name: tally.facts() for name, tally in self.tallies.items() if name in self.versions},
            "shares": {one.version: self._share(one.version) for one in self.plan.versions},
            "tripped": dict(self.tripped),
        }
