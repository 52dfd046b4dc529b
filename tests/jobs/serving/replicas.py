"""An application whose replicas hold no model: what they are told is kept, and what they say is made up."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from jobs.serving.application import Place
from jobs.serving.controlling import Control
from jobs.serving.plan import Asked, Plan
from jobs.serving.rollout import Candidate

RIGHT = {"label": "seven", "top": [["seven", 1.0]]}
OLD, NEW = Asked(folder="/old", sha256="0" * 64), Asked(folder="/new", sha256="1" * 64)
CANDIDATE = Candidate(NEW, [RIGHT])
NOTHING = {"requests": 0, "errors": 0, "compared": 0, "differ": 0, "latest_ms": [], "waiting_ms": []}


def place_of(**fields: Any) -> Place:
    given = {"application": "digits", "host": "127.0.0.1", "port": 0, "replicas": 1, "cpus": 1.0}
    return Place(**{**given, **fields})


def proving(asked: Asked, *others: Asked) -> Plan:
    return Plan(model="digits", versions=[*others, asked]).proving(asked.version)


class Replicas(Control):
    """Speaks to replicas by name. `looks` is called with their states each time they are asked for those."""

    def __init__(self, plan: Plan, *names: str, looks: Callable[[Replicas], None] = lambda replicas: None) -> None:
        self.application, self._decided = "digits", None
        self.states = {name: state(name, plan) for name in names}
        self.looks, self.target = looks, len(names)
        self.configured: dict[str, Any] | None = {"deployments": [{"user_config": plan.model_dump(mode="json")}]}
        self.done: list[str] = []
        self.there = True

    def tell_all(self, method: str, *arguments: Any, of: str | None = None) -> list[Any]:
        if method == "state":
            self.looks(self)
            return [copy.deepcopy(one) for one in self.states.values()]
        if method == "tried":
            return [[{"answer": RIGHT, "seconds": 0.001}] for _ in self.states]
        for one in self.states.values():
            if method == "load":
                one["versions"].setdefault(Asked.model_validate(arguments[0]).version, dict(NOTHING))
            if method == "steer":
                plan = Plan.model_validate(arguments[0])
                held = {asked.version: one["versions"].get(asked.version, dict(NOTHING)) for asked in plan.versions}
                one.update(plan=arguments[0], versions=held)
        return []

    def replaced(self, name: str, by: str) -> None:
        """Have one replica end, and another start with what is configured."""
        del self.states[name]
        assert self.configured is not None
        self.states[by] = state(by, Plan.model_validate(self.configured["deployments"][0]["user_config"]))

    def count(self, version: str, requests: int, ms: float = 1.0, errors: int = 0) -> None:
        """Have each replica that holds a version answer as many requests more."""
        for one in self.states.values():
            if version in one["versions"]:
                tally = one["versions"][version]
                latest = [*tally["latest_ms"], *[ms] * requests]
                tally.update(requests=tally["requests"] + requests, errors=tally["errors"] + errors, latest_ms=latest)

    def wanted(self) -> int:
        return self.target

    def written(self) -> dict[str, Any] | None:
        return self.configured

    def running(self) -> bool:
        return self.there

    def ready(self, url: str) -> None:
        self.done.append("waited")

    def listening(self, place: Place) -> str:
        return "http://127.0.0.1:1"

    def apply(self, place: Place, plan: Plan, failed: tuple[str, ...] = ()) -> None:
        self.done.append("applied")
        self.configured = {"deployments": [{"user_config": plan.model_dump(mode="json")}]}

    def put_back(self, written: dict[str, Any]) -> None:
        self.done.append("put back")
        self.configured = written

    def withdraw(self) -> None:
        self.done.append("withdrawn")

    def _wait(self, failed: tuple[str, ...]) -> None:
        pass

    def kept(self) -> Plan:
        """Return the plan that replicas read which start."""
        assert self.configured is not None
        return Plan.model_validate(self.configured["deployments"][0]["user_config"])

    def history(self) -> list[tuple[str, str]]:
        """Return what was done, and why."""
        return [(event.what, event.reason) for event in self.plan().history]


def state(name: str, plan: Plan) -> dict[str, Any]:
    versions = {asked.version: dict(NOTHING) for asked in plan.versions}
    return {"process": name, "plan": plan.model_dump(mode="json"), "versions": versions, "tripped": {}}
