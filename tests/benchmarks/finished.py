"""A small definition of every kind of step but deploy, run to its end once: cached runs and replicas start there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cluster.folder import Folder
from jobs.artifacts import Artifact
from pipelines.store import Store
from tests.benchmarks.processes import python

STEPS = ("data", "teacher", "small", "verdict", "report")
# The quickstart's own model; trained for one epoch, which is enough for its files to be what they always are.
DEFINITION = """\
name: finished
steps:
  data: {job: dataset, source: {kind: digits}}
  teacher:
    job: train
    data: data
    model: {backbone: {kind: resnet, depth: 8, width: 24}}
    epochs: 1
  small: {job: compress, model: teacher, data: data, techniques: [{kind: quantize, scheme: int8}]}
  verdict: {job: evaluate, models: [teacher, small], data: data}
  report: {job: report, title: Finished, of: [data, teacher, small, verdict]}
"""
A = TypeVar("A", bound=Artifact)


@dataclass(frozen=True)
class Finished:
    """A definition, and the store that holds all it makes."""

    definition: Path
    store: Path

    def records(self) -> dict[str, bytes]:
        """Return the bytes of every step's record: they change when anything is made again."""
        return {path.parent.name: path.read_bytes() for path in sorted(self.store.rglob("record.json"))}


def finished(work: Path) -> Finished:
    """Return the store below `work` with everything made; benchmarks of one run share it."""
    made = Finished(work / "finished.yaml", work / "finished")
    made.definition.write_text(DEFINITION)
    python("-m", "pipelines", "run", str(made.definition), "--store", str(made.store))
    return made


def artifact(store: Path, pipeline: str, step: str, kind: type[A]) -> A:
    """Load the newest artifact of a step."""
    kept = Store(Folder.parse(str(store)))
    record = kept.latest(pipeline, step)
    assert record is not None, f"'{step}' was run"
    return kind.load(kept.place(pipeline, step, record.fingerprint).artifact(record))
