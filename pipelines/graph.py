"""The order of steps: what each one needs, who needs it, and whether they go round in a circle. Pure; no recursion.

A graph maps each step's name, in the order of the definition, to the names of the steps it needs.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from jobs.job import Job
from jobs.spec import references

if TYPE_CHECKING:
    from pipelines.pipeline import Pipeline

Graph = Mapping[str, set[str]]


def dependencies(pipeline: Pipeline) -> dict[str, set[str]]:
    """Return the names of the steps each step needs."""
    return {name: needs(job) for name, job in pipeline.steps.items()}


def needs(job: Job) -> set[str]:
    """Return the names of the steps that `job` refers to."""
    return {target for _, target, _ in references(job)}


def order(graph: Graph) -> list[str]:
    """Return every step after those it needs; of the steps that could come next, the one defined first.

    Raises graphlib.CycleError when there is no such order.
    """
    place = {name: index for index, name in enumerate(graph)}
    names = list(graph)
    sorter = _sorter(graph)
    sorter.prepare()
    ready: list[int] = []
    ordered: list[str] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, place[name])
        first = names[heapq.heappop(ready)]
        ordered.append(first)
        sorter.done(first)
    return ordered


def dependants(graph: Graph, name: str) -> list[str]:
    """Return every step that needs `name`, directly or through others, in the order of the definition."""
    others = needed_by(graph)
    found = set(_reachable(others, others[name]))
    return [step for step in graph if step in found]


def needed_by(graph: Graph) -> dict[str, list[str]]:
    """Return the steps that need each step directly, in the order of the definition."""
    found: dict[str, list[str]] = {step: [] for step in graph}
    for step, needed in graph.items():
        for target in needed:
            found[target].append(step)
    return found


def ancestors(graph: Graph, names: Iterable[str]) -> list[str]:
    """Return `names` and every step they need, directly or through others, in the order of the definition."""
    found = set(_reachable(graph, names))
    return [step for step in graph if step in found]


def cycle(graph: Graph) -> list[str]:
    """Return the steps of a circle, each needed by the next, the first again at the end; empty when there is none."""
    try:
        _sorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1][:-1]
        place = {name: index for index, name in enumerate(graph)}
        start = min(range(len(found)), key=lambda index: place[found[index]])
        return [*found[start:], *found[:start], found[start]]
    return []


def _sorter(graph: Graph) -> TopologicalSorter[str]:
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name in graph:  # first all names, so that the order of a set never decides anything
        sorter.add(name)
    for name, needed in graph.items():
        sorter.add(name, *needed)
    return sorter


def _reachable(graph: Mapping[str, Iterable[str]], start: Iterable[str]) -> Iterator[str]:
    waiting = list(start)
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        yield name
        fresh = [other for other in graph[name] if other not in seen]
        seen.update(fresh)
        waiting.extend(fresh)
