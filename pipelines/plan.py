"""Says of every step, before anything starts: reused or run, and which field, input or file made it so."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from cluster.errors import ClusterError, RequestError
from cluster.resources import Resources
from jobs.job import Job
from pipelines import graph
from pipelines.identity import changes, fingerprint, identity
from pipelines.pipeline import Pipeline
from pipelines.store import Place, Record, Store


@dataclass(frozen=True)
class Planned:
    """One step: where its artifact lies or will lie, the record that is reused, or the reasons why it runs."""

    name: str
    job: Job
    place: Place
    identity: dict[str, object]
    record: Record | None
    reasons: list[str]

    @property
    def reused(self) -> bool:
        """Whether the step's artifact is there and whole."""
        return self.record is not None


def plan(pipeline: Pipeline, store: Store, fresh: Collection[str] = ()) -> dict[str, Planned]:
    """Return every step in the order it can run; `fresh` steps and what depends on them run in any case."""
    edges = graph.dependencies(pipeline)
    for name in fresh:
        if name not in edges:
            raise RequestError(f"--fresh {name}", "is no step", f"one of {', '.join(edges)}")
    again = {name: f"--fresh {name}" for name in fresh}
    again |= {below: f"input '{name}' is made afresh" for name in fresh for below in graph.dependants(edges, name)}
    planned: dict[str, Planned] = {}
    fingerprints: dict[str, str] = {}
    for name in graph.order(edges):
        job = pipeline.steps[name]
        what = identity(job, fingerprints, job.digest(store.memo.digest))
        fingerprints[name] = fingerprint(what)
        place = store.place(pipeline.name, name, fingerprints[name])
        planned[name] = _planned(name, job, place, what, again.get(name, ""))
    store.memo.save()
    return planned


def _planned(name: str, job: Job, place: Place, what: dict[str, object], fresh: str) -> Planned:
    record = place.record()
    if record is not None and not fresh and not (damage := place.verify(record)):
        return Planned(name, job, place, what, record, [])
    if fresh:
        reasons = [fresh]
    elif record is not None:
        reasons = [f"its artifact is damaged: {text}" for text in damage]
    elif (before := place.store.latest(place.pipeline, name)) is not None:
        reasons = changes(before.identity, what, job) or ["an older result was made under another record"]
    else:
        reasons = ["never run"]
    return Planned(name, job, place, what, None, reasons)


def check_capacity(planned: dict[str, Planned], total: Resources) -> None:
    """Raise ClusterError when a step that is to run asks for more than the cluster can ever hold."""
    for step in planned.values():
        asked = step.job.resources()
        if not step.reused and not asked.fits(total):
            raise ClusterError(
                f"step '{step.name}'", f"needs {asked}, the cluster can hold {total}", remedy="use fewer workers"
            )
