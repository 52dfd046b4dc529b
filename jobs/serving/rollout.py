"""Brings a version to all requests, or back to none: gate, shadow, canary, promotion, each with its reason."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cluster.errors import EspalierError, StepError
from jobs.serving.canary import Canary, Counted, Decision, Shadow, Stage, counted, decide
from jobs.serving.controlling import REPLY_S, Control
from jobs.serving.keys import HashedKey
from jobs.serving.plan import Asked, Event, Plan, Shadowing

if TYPE_CHECKING:
    from jobs.serving.application import Place

Tell = Callable[[dict[str, Any]], None]
SLACK_S = 0.001  # between medians of golden rows: less says nothing
LOOK_S = 0.25  # between two looks at a canary


@dataclass(frozen=True)
class Candidate:
    """A version and what its file answers to each golden row offline."""

    asked: Asked
    offline: list[dict[str, Any]]

    def wrong(self, tried: list[dict[str, Any]]) -> str:
        """Say which golden row is answered otherwise; empty when none is."""
        for row, (found, wanted) in enumerate(zip(tried, self.offline, strict=True)):
            if found["answer"] != wanted:
                return f"golden row {row} is answered {found['answer']['top'][:1]}, offline {wanted['top'][:1]}"
        return ""


More = Mapping[str, Candidate]  # other models, by name


def place_first(control: Control, place: Place, candidate: Candidate, more: More, key: HashedKey) -> str:
    """Start the application with its first version; StepError when it answers golden rows otherwise than offline."""
    asked = candidate.asked.model_copy(update={"weight": 1.0})
    plan = Plan(model=place.application, versions=[asked], limits=place.limits, keys=_keys(place, key))
    others = {name: other.asked for name, other in more.items()}
    plan = plan.model_copy(update={"threads": _threads(place), "more": others}).proving(asked.version)
    control.apply(place, plan.noting(event("deployed", asked, "the first version")))
    for name, one in {place.application: candidate, **more}.items():
        for tried in control.tell_all("tried", one.asked.version, name):
            if reason := one.wrong(tried):
                raise StepError(name, reason)
    return "deployed"


def replace(control: Control, place: Place, candidate: Candidate, more: More, tell: Tell, key: HashedKey) -> str:
    """Put a version in the place of the one that answers; StepError, with the reason noted, when it is refused.

    Other models are put in place as soon as each has passed the gate.
    """
    plan = control.plan().model_copy(update={"limits": place.limits, "keys": _keys(place, key)})
    serving = plan.serving()
    assert serving is not None, "what runs serves a version"
    plan = _with_others(control, place, plan, more)
    if serving.version == candidate.asked.version:
        asked = candidate.asked.model_copy(update={"weight": 1.0})
        steer(control, plan.holding(asked).proving(asked.version).noting(event("deployed", asked, "again")))
        return "serves already"
    try:
        seconds = gate(place, candidate, serving)
    except EspalierError as error:
        steer(control, plan.noting(event("refused", candidate.asked, str(error))))
        raise
    tell({"candidate": candidate.asked.version, "golden_ms": round(seconds * 1000, 3)})
    control.tell_all("load", candidate.asked.model_dump(mode="json"))
    plan = plan.holding(serving).holding(candidate.asked)
    trial = Trial(control, candidate, serving, tell)
    if place.shadow is not None:
        plan = trial.shadowed(place.shadow, plan)
    if place.canary is not None:
        plan = trial.stages(place.canary, plan)
    asked = candidate.asked
    plan = plan.model_copy(update={"versions": [serving, asked]}).proving(asked.version)
    steer(control, plan.noting(event("promoted", asked, f"in place of {serving.version}")))
    return "promoted"


def _with_others(control: Control, place: Place, plan: Plan, more: More) -> Plan:
    """Have the other models that are new, or changed, answered for; return the plan with them."""
    for name, one in more.items():
        before = plan.more.get(name)
        if before == one.asked:
            continue
        try:
            gate(place, one, before)
        except EspalierError as error:
            steer(control, plan.noting(event("refused", one.asked, f"{name}: {error}")))
            raise
    others = {name: one.asked for name, one in more.items()}
    for name in sorted({*others, *plan.more}):
        if others.get(name) != plan.more.get(name):
            what = "deployed" if name in others else "withdrawn"
            plan = plan.noting(event(what, others.get(name) or plan.more[name], f"as {name}"))
    plan = plan.model_copy(update={"more": others})
    steer(control, plan)
    return plan


def gate(place: Place, candidate: Candidate, serving: Asked | None) -> float:
    """Try a candidate in a replica of its own, which no request reaches; return the median seconds of a golden row.

    StepError when its files are not those that were judged, when it crashes, when golden rows are answered otherwise
    than offline, or when it is slower than allowed, compared with what it replaces, if anything.
    """
    from ray import serve

    from jobs.serving.building import bound

    name = f"{place.application}.gate"
    made = bound(Plan(model=place.application), cpus=0)  # for a moment, beside replicas that hold the CPUs
    handle = serve.run(made, name=name, route_prefix=None)
    try:
        medians: list[float] = []
        for asked in (candidate.asked, serving or candidate.asked):
            _reply(handle.load.remote(asked.model_dump(mode="json")), asked)
            tried = _reply(handle.tried.remote(asked.version), asked)
            if asked is candidate.asked and (reason := candidate.wrong(tried)):
                raise StepError(asked.version, reason)
            again = [one["seconds"] for _ in range(4) for one in _reply(handle.tried.remote(asked.version), asked)]
            medians.append(statistics.median(again))
    finally:
        serve.delete(name)
    ours, theirs = medians
    if place.golden_ms is not None and ours * 1000 > place.golden_ms:
        raise StepError(candidate.asked.version, f"takes {ours * 1000:.2f} ms for a golden row", f"{place.golden_ms:g}")
    if ours > place.slower * theirs + SLACK_S:
        found = f"takes {ours * 1000:.2f} ms for a golden row"
        raise StepError(candidate.asked.version, found, f"at most {place.slower:g} times {theirs * 1000:.2f} ms")
    return ours


def _reply(response: Any, asked: Asked) -> Any:
    import ray

    try:
        return response.result(timeout_s=REPLY_S)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, EspalierError):
            raise error.cause from None
        raise StepError(asked.version, f"cannot be loaded ({type(error.cause).__name__}: {error.cause})") from None
    except (ray.exceptions.RayError, TimeoutError) as error:
        raise StepError(asked.version, f"ended the process that loaded it ({type(error).__name__})") from None


@dataclass(frozen=True)
class Trial:
    """Takes a candidate through stages beside the version that answers; StepError once it is rolled back."""

    control: Control
    candidate: Candidate
    serving: Asked
    tell: Tell

    def shadowed(self, shadow: Shadow, plan: Plan) -> Plan:
        """Have the candidate asked what the other one answers; return the plan with what came of it."""
        asked = self.candidate.asked
        plan = plan.model_copy(update={"shadow": Shadowing(version=asked.version, share=shadow.share)})
        plan = plan.noting(event("shadow", asked, f"copies of {shadow.share:.0%} of requests"))
        self.tell({"shadow": asked.version, "share": shadow.share})
        reason, facts = self._stage(shadow, plan, "in the shadow")
        self.tell({"shadowed": asked.version, **facts["candidate"]})
        return plan.model_copy(update={"shadow": None}).noting(event("shadowed", asked, reason, facts))

    def stages(self, canary: Canary, plan: Plan) -> Plan:
        """Have the candidate answer more and more requests."""
        asked = self.candidate.asked
        for share in canary.shares:
            plan = plan.weighing({self.serving.version: 1.0 - share, asked.version: share})
            plan = plan.noting(event("canary", asked, f"{share:.0%} of requests"))
            self.tell({"canary": asked.version, "share": share})
            self._stage(canary, plan, f"at {share:.0%} of requests")
        return plan

    def _stage(self, stage: Stage, plan: Plan, where: str) -> tuple[str, dict[str, Any]]:
        """Follow the plan until the stage is over; return why it is, and what was counted."""
        steer(self.control, plan)
        try:
            decision, facts = self._watched(stage)
        except BaseException as error:
            self._back(plan, f"the deployment was interrupted ({type(error).__name__})", {})
            raise
        if decision.what == "roll back":
            self._back(plan, decision.reason, facts)
            raise StepError(self.candidate.asked.version, f"was rolled back {where}: {decision.reason}")
        return decision.reason, facts

    def _watched(self, stage: Stage) -> tuple[Decision, dict[str, Any]]:
        """Look at a stage until it is decided; return what was counted, too."""
        version, begun = self.candidate.asked.version, time.monotonic()
        before, before_other = self._counted(None, None)[1:]
        for tried in self.control.tell_all("tried", version):
            if reason := self.candidate.wrong(tried):
                return Decision("roll back", reason), {}
        while True:
            tripped, ours, other = self._counted(before, before_other)
            decision = decide(stage, time.monotonic() - begun, ours, other, tripped)
            if decision.what != "wait":
                return decision, {"candidate": ours.facts(), "other": other.facts()}
            time.sleep(LOOK_S)

    def _counted(self, before: Counted | None, before_other: Counted | None) -> tuple[list[str], Counted, Counted]:
        """Return why the candidate was put out of use, and how it and the other did since before."""
        states, version = self.control.tell_all("state"), self.candidate.asked.version
        tripped = [state["tripped"][version] for state in states if version in state["tripped"]]
        other = counted(states, self.serving.version, before_other)
        return tripped, counted(states, version, before), other

    def _back(self, plan: Plan, reason: str, facts: dict[str, Any]) -> None:
        asked = self.candidate.asked
        others = [one for one in plan.versions if one.version != asked.version]
        plan = plan.model_copy(update={"versions": others}).proving(self.serving.version)
        steer(self.control, plan.noting(event("rolled back", asked, reason, facts)))


def roll_back(application: str, reason: str, tell: Tell) -> None:
    """Give all requests back to the version before; StepError when there is none."""
    control = Control(application)
    if not control.running():
        raise StepError(application, "does not run on this cluster")
    plan = control.plan()
    serving = plan.serving()
    held = [one for one in plan.versions if serving is not None and one.version != serving.version]
    if serving is None or not held:
        raise StepError(application, "holds no other version to go back to")
    steer(control, plan.proving(held[-1].version).noting(event("rolled back", serving, reason)))
    control.persist()
    tell({"serving": held[-1].version, "instead_of": serving.version})


def steer(control: Control, plan: Plan) -> None:
    """Have every replica follow a plan."""
    control.tell_all("steer", plan.model_dump(mode="json"))


def event(what: str, asked: Asked, reason: str, facts: dict[str, Any] | None = None) -> Event:
    """Return what was done now."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Event(at=at, what=what, version=asked.version, reason=reason, facts=facts or {})


def _keys(place: Place, key: HashedKey) -> list[HashedKey]:
    return [*place.keys, key] if place.keys else []


def _threads(place: Place) -> int:
    return max(1, int(place.cpus))
