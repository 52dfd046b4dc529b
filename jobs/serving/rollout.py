"""Brings a version to all requests, or back to none: gate, shadow, canary, promotion, each with its reason."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cluster.errors import EspalierError, StepError
from jobs.serving.canary import Canary, Decision, Shadow, Stage, counted, decide
from jobs.serving.controlling import REPLY_S, Control, labelled, threads
from jobs.serving.keys import HashedKey
from jobs.serving.plan import Asked, Event, Plan, Shadowing

if TYPE_CHECKING:
    from jobs.serving.application import Place

Tell = Callable[[dict[str, Any]], None]
SLACK_S = 0.001  # between medians of golden rows: less says nothing
LOOK_S = 0.25  # between two looks at a canary
LOOKS = 3  # one after the other, without a process: it is gone, and not only slow to say that it is there


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
    plan = plan.model_copy(update={"threads": threads(place), "more": others}).proving(asked.version)
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
    now = {"limits": place.limits, "keys": _keys(place, key), "threads": threads(place)}
    plan = control.plan().model_copy(update=now)
    serving = plan.serving()
    assert serving is not None, "what runs serves a version"
    plan = plan.model_copy(update={"proven": serving.version})
    plan = _with_others(control, place, plan, more)
    if serving.version == candidate.asked.version:
        asked = candidate.asked.model_copy(update={"weight": 1.0})
        control.steer(plan.holding(asked).proving(asked.version).noting(event("deployed", asked, "again")))
        return "serves already"
    try:
        seconds = gate(place, candidate, serving)
    except EspalierError as error:
        control.steer(plan.noting(event("refused", candidate.asked, str(error))))
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
    with_few = "".join(f"; {few}" for few in trial.few)
    control.steer(plan.noting(event("promoted", asked, f"in place of {serving.version}{with_few}")))
    return f"promoted{with_few}"


def give_back(control: Control, before: Plan, candidate: Candidate, reason: str) -> None:
    """Where a candidate has taken the place of the version of `before`, have that one answer again."""
    plan, serving = control.plan(), before.serving()
    name = candidate.asked.version
    if serving is None or serving.version == name or plan.proven != name:
        return
    others = [one for one in plan.holding(serving).versions if one.version != name]
    plan = plan.model_copy(update={"versions": others}).proving(serving.version)
    control.steer(plan.noting(event("rolled back", candidate.asked, reason)))


def _with_others(control: Control, place: Place, plan: Plan, more: More) -> Plan:
    """Have the other models that are new, or changed, answered for; return the plan with them."""
    for name, one in more.items():
        before = plan.more.get(name)
        if before == one.asked:
            continue
        try:
            gate(place, one, before)
        except EspalierError as error:
            control.steer(plan.noting(event("refused", one.asked, f"{name}: {error}")))
            raise
    others = {name: one.asked for name, one in more.items()}
    for name in sorted({*others, *plan.more}):
        if others.get(name) != plan.more.get(name):
            what = "deployed" if name in others else "withdrawn"
            plan = plan.noting(event(what, others.get(name) or plan.more[name], f"as {name}"))
    plan = plan.model_copy(update={"more": others})
    control.steer(plan)
    return plan


def gate(place: Place, candidate: Candidate, serving: Asked | None) -> float:
    """Try a candidate in a replica of its own, which no request reaches; return the median seconds of a golden row.

    StepError when its files are not those that were judged, when it crashes, when golden rows are answered otherwise
    than offline, or when it is slower than allowed, compared with what it replaces, if anything.
    """
    from ray import serve

    from jobs.serving.building import bound

    name = f"{place.application}.gate"
    made = bound(
        Plan(model=place.application), {"num_cpus": 0} | labelled(place)
    )  # for a moment, beside replicas that hold the CPUs
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


@dataclass
class Trial:
    """Takes a candidate through stages beside the version that answers; StepError once it is rolled back."""

    control: Control
    candidate: Candidate
    serving: Asked
    tell: Tell
    few: list[str] = field(default_factory=list)  # stages that ended with fewer requests than were wanted
    holding: set[str] = field(default_factory=set)  # processes that hold the candidate
    most: int = 0  # replicas there were at once

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
        try:
            self.control.steer(plan.model_copy(update={"error_share": stage.error_share}))
            decision, facts = self._watched(stage)
        except BaseException as error:
            self._back(plan, f"the deployment was interrupted ({type(error).__name__})", {})
            raise
        if decision.what == "roll back":
            self._back(plan, decision.reason, facts)
            raise StepError(self.candidate.asked.version, f"was rolled back {where}: {decision.reason}")
        if decision.few:
            self.few.append(f"{decision.reason} {where}")
            self.tell({"few": self.few[-1]})
        return decision.reason, facts

    def _watched(self, stage: Stage) -> tuple[Decision, dict[str, Any]]:
        """Look at a stage until it is decided; return what was counted, too."""
        version, begun, missed = self.candidate.asked.version, time.monotonic(), 0
        before = self.control.tell_all("state")
        self._lost(before)
        for tried in self.control.tell_all("tried", version):
            if reason := self.candidate.wrong(tried):
                return Decision("roll back", reason), {}
        while True:
            states = self.control.tell_all("state")
            missed = missed + 1 if (lost := self._lost(states)) else 0
            if not lost and states and not any(version in state["versions"] for state in states):
                return Decision("roll back", "it was taken away meanwhile"), {}
            if missed == LOOKS:
                return Decision("roll back", f"{len(lost)} of {len(self.holding)} processes that held it ended"), {}
            tripped = [state["tripped"][version] for state in states if version in state["tripped"]]
            ours, other = (counted(states, name, before) for name in (version, self.serving.version))
            decision = decide(stage, time.monotonic() - begun, ours, other, tripped)
            if decision.what == "roll back" or (decision.what == "go on" and not lost):
                return decision, {"candidate": ours.facts(), "other": other.facts()}
            time.sleep(LOOK_S)

    def _lost(self, states: list[dict[str, Any]]) -> set[str]:
        """Return the processes that held the candidate and are gone, though no fewer replicas are wanted."""
        self.most = max(self.most, len(states))
        self.holding |= {state["process"] for state in states if self.candidate.asked.version in state["versions"]}
        lost = self.holding - {state["process"] for state in states}
        if lost and len(lost) <= self.most - self.control.wanted():
            self.holding, self.most = self.holding - lost, len(states)
            return set()
        return lost

    def _back(self, plan: Plan, reason: str, facts: dict[str, Any]) -> None:
        asked = self.candidate.asked
        others = [one for one in plan.versions if one.version != asked.version]
        plan = plan.model_copy(update={"versions": others}).proving(self.serving.version)
        self.control.steer(plan.noting(event("rolled back", asked, reason, facts)))


def roll_back(application: str, reason: str, tell: Tell) -> None:
    """Give all requests back to the version before, of a trial to the one that is proven; StepError without any."""
    control = Control(application)
    if not control.running():
        raise StepError(application, "does not run on this cluster")
    plan = control.plan()
    serving = plan.serving()
    held = [one for one in plan.versions if serving is not None and one.version != serving.version]
    if serving is None or not held:
        raise StepError(application, "holds no other version to go back to")
    tried = [one for one in held if one.weight or (plan.shadow is not None and plan.shadow.version == one.version)]
    to, instead_of = (serving, tried[-1]) if tried else (held[-1], serving)
    plan = plan.model_copy(update={"versions": [one for one in plan.versions if one not in tried]})
    control.steer(plan.proving(to.version).noting(event("rolled back", instead_of, reason)))
    control.persist()
    tell({"serving": to.version, "instead_of": instead_of.version})


def event(what: str, asked: Asked, reason: str, facts: dict[str, Any] | None = None) -> Event:
    """Return what was done now."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Event(at=at, what=what, version=asked.version, reason=reason, facts=facts or {})


def _keys(place: Place, key: HashedKey) -> list[HashedKey]:
    return [*place.keys, key] if place.keys else []
