"""The versions a replica holds side by side, which one answers a request, and how each has done so far."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, TypeVar

import numpy as np

from jobs.data.rows import BadRow
from jobs.serving.answering.observing import Observer
from jobs.serving.plan import Plan
from jobs.serving.refused import Refused
from jobs.serving.versions.version import Version

KEPT = 2_000  # latencies of each version
COPIES = 4  # of requests in the hands of a shadow; those that come meanwhile are not copied
FUSE_ERRORS = 3  # of a version that does not answer most requests, until it answers none
log = logging.getLogger("ray.serve")
T = TypeVar("T")
Labels = Callable[[Version, T], list[Any]]  # of what a version answered, by which versions are compared


@dataclass
class Tally:
    """How a version has done since it was loaded; seconds are of single requests, queueing included."""

    requests: int = 0
    errors: int = 0
    last_error: str = ""
    compared: int = 0  # rows, as a shadow
    differ: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))

    def facts(self) -> dict[str, Any]:
        """Return the counts and the percentiles in milliseconds; None of no requests."""
        found = np.array(self.seconds) * 1000
        p50, p99 = (float(np.percentile(found, q)) if len(found) else None for q in (50, 99))
        counts = {name: getattr(self, name) for name in ("requests", "errors", "last_error", "compared", "differ")}
        return {**counts, "p50_ms": p50, "p99_ms": p99, "latest_ms": [round(float(ms), 4) for ms in found[-500:]]}


class Roster:
    """Holds versions by name. A version that fails too often while another answers is put out of use at once."""

    def __init__(self, plan: Plan, observers: Sequence[Observer] = ()) -> None:
        self.plan = plan
        self.versions: dict[str, Version] = {}
        self.tallies: dict[str, Tally] = {}
        self.tripped: dict[str, str] = {}
        self._observers = observers
        self._copies: set[asyncio.Task[None]] = set()

    def load(self, plan: Plan) -> None:
        """Load every version of `plan` that is not there yet. It blocks; nothing that answers changes."""
        for asked in plan.versions:
            held = self.versions.get(asked.version)
            if held is None or held.asked.model_copy(update={"weight": asked.weight}) != asked:
                made = Version(asked, plan.limits, plan.threads, self._batched)
                for observer in self._observers:
                    observer.knows(asked.version, made.classifier.model)
                self.tallies[asked.version] = Tally()
                self.tripped.pop(asked.version, None)
                self.versions[asked.version] = made

    def follow(self, plan: Plan) -> None:
        """Answer by the shares of `plan` from now on, and let go of versions it does not hold."""
        self.plan = plan
        for name in [name for name in self.versions if plan.asked(name) is None]:
            self.versions.pop(name).close()  # requests in its hands hold on to it
            self.tallies.pop(name, None)
            self.tripped.pop(name, None)
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
        names = [name for one in self.plan.versions if (name := one.version) in self.versions]
        if len(names) == 1:
            return self.versions[names[0]]
        weights = [self._share(name) for name in names]
        if not any(weights):
            raise Refused(503, "no version is loaded", 1)
        return self.versions[random.choices(names, weights)[0]]

    def _share(self, version: str) -> float:
        asked = self.plan.asked(version)
        return 0.0 if asked is None or version in self.tripped else asked.weight

    async def answered(
        self, named: str, ask: Callable[[Version], Awaitable[T]], labels: Labels[T]
    ) -> tuple[Version, T]:
        """Return what `ask` made of a version, and the version: where a candidate fails, the other one is asked.

        A shadow, where there is one, is asked the same once the answer is on its way.
        """
        version = self.chosen(named)
        try:
            result = await self._counted(version, ask)
            if self.plan.shadow is not None and not named:
                self._copy(version, ask, labels, result)
            return version, result
        except (Refused, BadRow):
            raise
        except Exception:
            serving = self.plan.serving()
            stable = None if serving is None else self.versions.get(serving.version)
            if named or stable is None or stable is version:
                raise
            return stable, await self._counted(stable, ask)

    async def _counted(self, version: Version, ask: Callable[[Version], Awaitable[T]]) -> T:
        tally = self.tallies.setdefault(version.name, Tally())
        begun = time.perf_counter()
        tally.requests += 1
        try:
            result = await ask(version)
        except (Refused, BadRow):
            raise
        except Exception as error:
            tally.errors += 1
            tally.last_error = f"{type(error).__name__}: {error}"[:300]
            self._fuse(version, tally)
            raise
        tally.seconds.append(time.perf_counter() - begun)
        return result

    def _copy(self, version: Version, ask: Callable[[Version], Awaitable[T]], labels: Labels[T], result: T) -> None:
        shadow = self.plan.shadow
        held = None if shadow is None or shadow.version in self.tripped else self.versions.get(shadow.version)
        if shadow is None or held is None or held is version or len(self._copies) >= COPIES:
            return
        if random.random() < shadow.share:
            task = asyncio.create_task(self._compared(held, ask, labels, labels(version, result)))
            self._copies.add(task)
            task.add_done_callback(self._copies.discard)

    async def _compared(
        self, shadow: Version, ask: Callable[[Version], Awaitable[T]], labels: Labels[T], wanted: list[Any]
    ) -> None:
        """Ask a shadow, and count of how many rows it says another label; what it refuses is another, too."""

        async def in_time(version: Version) -> T:
            async with asyncio.timeout(self.plan.limits.seconds):
                return await ask(version)

        tally = self.tallies.setdefault(shadow.name, Tally())
        try:
            found = labels(shadow, await self._counted(shadow, in_time))
        except (Refused, BadRow):
            found = []
        except Exception:
            log.exception("version %s failed in the shadow", shadow.name)
            return
        tally.compared += len(wanted)
        tally.differ += sum(one != other for one, other in zip_longest(wanted, found))

    def _fuse(self, version: Version, tally: Tally) -> None:
        serving = self.plan.serving()
        if tally.errors >= FUSE_ERRORS and serving is not None and serving.version != version.name:
            self.tripped.setdefault(version.name, f"{tally.errors} of {tally.requests} requests failed")

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
