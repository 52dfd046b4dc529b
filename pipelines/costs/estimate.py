"""Which nodes a step would have started, what it would cost an hour, and how long it took when it was last made."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cluster.errors import RequestError
from cluster.resources import Capacity, Placed, Resources
from jobs.job import Job
from pipelines.pipeline import Pipeline
from pipelines.plan import Planned

UNITS = ("CPU", "GPU")  # priced one by one where nodes have no price of their own


@dataclass(frozen=True)
class Estimate:
    """Of one step: nodes to start by type, the price of an hour (None: not known), seconds it took (None: never).

    Of trials, as many are counted as may run at once.
    """

    nodes: Mapping[str, int]
    per_hour: float | None
    took: float | None
    at_once: int = 1

    def words(self) -> str:
        """Return it for people; empty when nothing is known."""
        starts = ", ".join(f"{count} {kind}" for kind, count in self.nodes.items())
        parts = [f"up to {self.at_once} trials at once"] if self.at_once > 1 else []
        parts += [f"starts {starts}"] if starts else []
        parts += [] if self.per_hour is None else [f"about {self.per_hour:.2f} an hour"]
        if self.took is not None:
            parts.append(f"took {_duration(self.took)} when it was last made")
            if self.per_hour is not None:
                parts.append(f"then about {self.per_hour * self.took / 3600:.2f} in all")
        return ", ".join(parts)

    def facts(self) -> dict[str, Any]:
        """Return what is known as JSON values."""
        known = {"starts": dict(self.nodes) or None, "per_hour": self.per_hour, "took": self.took}
        known |= {"at_once": self.at_once} if self.at_once > 1 else {}
        return {name: value for name, value in known.items() if value is not None}


def estimate(step: Planned, total: Resources | None, prices: Mapping[str, float]) -> Estimate:
    """Return the estimate of a step that is to run on a cluster that can hold `total`."""
    placed, number = _placed(step.job, total)
    new = Counter(node.kind for node in placed or () if node.new)
    return Estimate(dict(sorted(new.items())), rate(step.job, total, prices), _took(step), number)


def rate(job: Job, total: Resources | None, prices: Mapping[str, float]) -> float | None:
    """Return what a step costs an hour while it runs: its nodes by their type's price, else what it holds of them."""
    placed, number = _placed(job, total)
    if placed is None:
        return _of_units(job.resources().times(number), prices)
    costs = [_of_node(node, prices) for node in placed]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if costs and len(known) == len(costs) else None


def _placed(job: Job, total: Resources | None) -> tuple[list[Placed] | None, int]:
    """Return the nodes that a step would lie on, None where nobody can say, and how many times over it would.

    Of trials at once, there is room for fewer where nodes are left with too little for one more.
    """
    most = max(1, job.at_once(total))
    ways = (
        [job.processes()] if job.processes() else [[job.resources()], [Resources(1)] * math.ceil(job.resources().cpus)]
    )
    if not isinstance(total, Capacity):
        return None, most
    for processes in ways:  # what may take turns need not lie on one node
        if (once := total.placed(processes)) is not None:
            return _as_often(total, processes, once, most)
    return None, most


def _as_often(total: Capacity, processes: list[Resources], once: list[Placed], most: int) -> tuple[list[Placed], int]:
    """Return the nodes for as many times the processes as there is room for, `most` at most, and how many that is."""
    placed, low, high = once, 1, most + 1  # `low` times fit, `high` do not
    while high - low > 1:
        middle = (low + high) // 2
        if (found := total.placed(processes * middle)) is None:
            high = middle
        else:
            placed, low = found, middle
    return placed, low


def _of_node(node: Placed, prices: Mapping[str, float]) -> float | None:
    return prices[node.kind] if node.kind in prices else _of_units(sum(node.held, Resources()), prices)


def _of_units(held: Resources, prices: Mapping[str, float]) -> float | None:
    used = {unit: n for unit, n in zip(UNITS, (held.cpus, held.gpus), strict=True) if n}
    return sum(prices[unit] * n for unit, n in used.items()) if prices and used.keys() <= prices.keys() else None


def rates(pipeline: Pipeline, planned: Mapping[str, Planned], total: Resources | None) -> dict[str, float | None]:
    """Return what each step costs an hour; RequestError when money is limited, and one that is to run has no price."""
    found = {name: rate(step.job, total, pipeline.prices) for name, step in planned.items()}
    unknown = [f"'{name}'" for name, step in planned.items() if not step.reused and found[name] is None]
    if pipeline.max_cost is not None and unknown:
        raise RequestError(
            "max_cost",
            f"cannot be kept: nobody can say what an hour of {', '.join(unknown)} costs",
            "prices of the node types that would be started, or of CPU and GPU",
            "add them to prices, or leave max_cost out",
        )
    return found


def _took(step: Planned) -> float | None:
    last = step.place.store.latest(step.place.pipeline, step.place.step)
    if last is None:
        return None
    return (datetime.fromisoformat(last.made.finished) - datetime.fromisoformat(last.made.started)).total_seconds()


def _duration(seconds: float) -> str:
    from pipelines.console import duration

    return duration(seconds)
