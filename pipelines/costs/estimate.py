"""Which nodes a step would have started, what it would cost an hour, and how long it took when it was last made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cluster.resources import Capacity, Placed, Resources
from jobs.job import Job
from pipelines.plan import Planned

UNITS = ("CPU", "GPU")  # priced one by one where nodes have no price of their own


@dataclass(frozen=True)
class Estimate:
    """Of one step: nodes to start by type, the price of an hour (None: not known), seconds it took (None: never)."""

    nodes: Mapping[str, int]
    per_hour: float | None
    took: float | None

    def words(self) -> str:
        """Return it for people; empty when nothing is known."""
        starts = ", ".join(f"{count} {kind}" for kind, count in self.nodes.items())
        parts = [f"starts {starts}"] if starts else []
        parts += [] if self.per_hour is None else [f"about {self.per_hour:.2f} an hour"]
        if self.took is not None:
            parts.append(f"took {_duration(self.took)} when it was last made")
            if self.per_hour is not None:
                parts.append(f"then about {self.per_hour * self.took / 3600:.2f} in all")
        return ", ".join(parts)

    def facts(self) -> dict[str, Any]:
        """Return what is known as JSON values."""
        known = {"starts": dict(self.nodes) or None, "per_hour": self.per_hour, "took": self.took}
        return {name: value for name, value in known.items() if value is not None}


def estimate(step: Planned, total: Resources | None, prices: Mapping[str, float]) -> Estimate:
    """Return the estimate of a step that is to run on a cluster that can hold `total`."""
    placed = _placed(step.job, total)
    new = Counter(node.kind for node in placed or () if node.new)
    return Estimate(dict(sorted(new.items())), rate(step.job, total, prices), _took(step))


def rate(job: Job, total: Resources | None, prices: Mapping[str, float]) -> float | None:
    """Return what a step costs an hour while it runs: its nodes by their type's price, else what it holds of them."""
    placed = _placed(job, total)
    if placed is None:
        return _of_units(job.resources(), prices)
    costs = [_of_node(node, prices) for node in placed]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if costs and len(known) == len(costs) else None


def _placed(job: Job, total: Resources | None) -> list[Placed] | None:
    processes = job.processes() or [job.resources()]
    return total.placed(processes) if isinstance(total, Capacity) else None


def _of_node(node: Placed, prices: Mapping[str, float]) -> float | None:
    return prices[node.kind] if node.kind in prices else _of_units(sum(node.held, Resources()), prices)


def _of_units(held: Resources, prices: Mapping[str, float]) -> float | None:
    used = {unit: n for unit, n in zip(UNITS, (held.cpus, held.gpus), strict=True) if n}
    return sum(prices[unit] * n for unit, n in used.items()) if used and used.keys() <= prices.keys() else None


def _took(step: Planned) -> float | None:
    last = step.place.store.latest(step.place.pipeline, step.place.step)
    if last is None:
        return None
    return (datetime.fromisoformat(last.made.finished) - datetime.fromisoformat(last.made.started)).total_seconds()


def _duration(seconds: float) -> str:
    from pipelines.console import duration

    return duration(seconds)
