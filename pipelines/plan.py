"""Says of every step, before anything starts: reused or run, and which field, input or file made it so."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from cluster.errors import ClusterError, RequestError
from cluster.resources import Capacity, Resources
from jobs.job import Job
from pipelines import graph
from pipelines.identity import changes, fingerprint, identity
from pipelines.language.mistakes import suggest_or_list
from pipelines.pipeline import Pipeline
from pipelines.store import NAME, Place, Record, Store

REMEDY = "ask for less, or use a larger cluster"


@dataclass(frozen=True)
class Planned:
    """One step: where its artifact lies or will lie, the record that is reused, or the reasons why it runs."""

    name: str
    job: Job
    place: Place
    identity: dict[str, object]
    record: Record | None
    reasons: list[str]
    fresh: bool = False  # made again in any case, whatever another run has made meanwhile
    gone: str = ""  # the attempt that is whole, but what it left running is not there any more

    @property
    def reused(self) -> bool:
        """Whether the step's artifact is there and whole."""
        return self.record is not None

    def tidy(self) -> None:
        """Of a step that is reused, delete what a run that died right after writing the record left beside it."""
        assert self.record is not None, "what is not reused is swept by who makes it"
        known = {self.record.attempt, NAME, self.place.log_path.name}
        if set(self.place.folder.names()) <= known:
            return
        with suppress(OSError, ClusterError):  # of a store that may only be read, it stays
            if self.place.lease.try_acquire():
                try:
                    self.place.sweep()
                    self.place.checkpoints.delete()
                finally:
                    self.place.lease.release()


def plan(pipeline: Pipeline, store: Store, fresh: Collection[str] = (), lasting: bool = False) -> dict[str, Planned]:
    """Return every step in the order it can run; `fresh` steps and what depends on them run in any case.

    On a cluster that outlives the run (`lasting`), what a step left running there must still be there to be reused.
    """
    edges = graph.dependencies(pipeline)
    again = {step: f"input '{name}' is made afresh" for name in fresh for step in below(pipeline, name)}
    again |= dict.fromkeys(fresh, "asked for with --fresh")
    planned: dict[str, Planned] = {}
    fingerprints: dict[str, str] = {}
    for name in graph.order(edges):
        job = pipeline.steps[name]
        what = identity(job, fingerprints, job.digest(store.memo.digest))
        fingerprints[name] = fingerprint(what)
        place = store.place(pipeline.name, name, fingerprints[name])
        planned[name] = _planned(name, job, place, what, again.get(name, ""), lasting)
    store.memo.save()
    return planned


def below(pipeline: Pipeline, name: str) -> list[str]:
    """Return the steps that depend on the step `name`; RequestError when there is no such step."""
    if name not in pipeline.steps:
        raise RequestError(pipeline.name, f"has no step '{name}'{suggest_or_list(name, pipeline.steps)}")
    return graph.dependants(graph.dependencies(pipeline), name)


def _planned(name: str, job: Job, place: Place, what: dict[str, object], fresh: str, lasting: bool) -> Planned:
    if fresh:
        return Planned(name, job, place, what, None, [fresh], fresh=True)
    record = place.record()
    if record is None:
        return Planned(name, job, place, what, None, _why_not_made(place, what, job))
    damage = [f"its artifact is damaged: {text}" for text in place.verify(record)]
    gone = [text for text in [job.gone(place.artifact(record))] if text] if lasting and not damage else []
    if gone:
        return Planned(name, job, place, what, None, gone, gone=record.attempt)
    return Planned(name, job, place, what, None if damage else record, damage)


def _why_not_made(place: Place, what: dict[str, object], job: Job) -> list[str]:
    unfinished = ["it was begun and not finished"] if place.log_path.exists() else []
    before = place.store.latest(place.pipeline, place.step)
    return (changes(before.identity, what, job) if before else []) + unfinished or ["never run"]


def check_capacity(planned: Mapping[str, Planned], total: Resources) -> None:
    """Raise ClusterError when a step that is to run asks for more than the cluster can ever hold."""
    for step, before in _kept_before(planned):
        asked = step.job.resources()
        held = sum((keeper.job.keeps() for keeper in before), Resources())
        if not (held + asked).fits(total):
            names = " and ".join(f"'{keeper.name}'" for keeper in before)
            beside = f" beside the {held} that {names} keeps" if before else ""
            text = f"step '{step.name}' needs {asked}{beside}, the cluster can hold {total}"
            raise ClusterError(text, remedy=REMEDY)
        if isinstance(total, Capacity) and (reason := total.refuses(step.job.processes())):
            raise ClusterError(f"step '{step.name}' {reason}", remedy=REMEDY)


def _kept_before(planned: Mapping[str, Planned]) -> Iterator[tuple[Planned, list[Planned]]]:
    """Yield every step that is to run, with those that may hold what they keep when it starts.

    What depends on such a step starts after it; two of them start in any order; all else is let in first.
    """
    steps = {name: step for name, step in planned.items() if not step.reused}
    edges = {name: graph.needs(step.job) for name, step in planned.items()}
    keepers = [name for name, step in steps.items() if step.job.keeps() != Resources()]
    below = {name: set(graph.dependants(edges, name)) for name in keepers}
    for name, step in steps.items():
        others = [k for k in keepers if k != name and k not in below.get(name, ())]
        yield step, [steps[k] for k in others if name in below[k] or name in below]
