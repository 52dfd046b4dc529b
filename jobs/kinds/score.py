"""The `score` job: what a model says of every row of a source, as Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from pydantic import Field

from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import SERVABLE, UNSERVABLE, Model, Scores
from jobs.data.sources import Source
from jobs.job import Inputs, Job, Output
from jobs.spec import INCIDENTAL, Path, Ref


class Score(Job):
    """Run the served file over texts, images or pairs, streaming, on any number of workers without TensorFlow.

    What is scored when a run is killed is not scored again.
    """

    job: Literal["score"] = "score"
    produces = Scores

    model: Annotated[str, Ref(Model)]
    source: Source
    labelled: Annotated[bool, Field(description="Read the source's labels too, and tell the accuracy")] = False
    top: Annotated[
        int | None, Field(ge=1, description="Likeliest classes kept of each row; default: the probabilities of all")
    ] = None
    batch_size: Annotated[int, INCIDENTAL, Field(ge=1, le=4_096, description="Rows run at once")] = 32
    workers: Annotated[int, INCIDENTAL, Field(ge=1, le=10_000, description="Processes, of one CPU each")] = 1

    def problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Yield local files that are missing, rows of another modality, and a model that replicas cannot run."""
        wrong = [(("source", *field), text) for field, text in self.source.problems()]
        yield from wrong
        spec = steps[self.model].model_spec(steps) if self.model in steps else None
        if spec is None:
            return
        if spec.backbone.runtime != "litert":
            yield ("model",), f"'{self.model}' {UNSERVABLE}; {SERVABLE}"
        if not wrong and spec.backbone.modality != self.source.modality():
            yield (
                ("source",),
                f"holds {self.source.modality()} rows, but '{self.model}' reads {spec.backbone.modality} rows",
            )

    def digest(self, memo: Callable[[Any], str]) -> str:
        """Return the digest of what the source holds."""
        return self.source.digest(memo)

    def resources(self) -> Resources:
        """Return what all workers hold together; reading the source takes little beside them."""
        return Resources(self.workers)

    def run(self, inputs: Inputs, out: Output) -> Scores:
        """Score on the cluster."""
        from jobs.scoring.work import ScoreWork, score

        self.source.require()
        work = ScoreWork(
            model=inputs[self.model].folder,
            source=self.source.located(FilePath.cwd()).to_score(self.labelled),
            labelled=self.labelled,
            top=self.top,
            batch_size=self.batch_size,
            workers=self.workers,
        )
        made: Scores = run_remote(
            score, work, out.checkpoints / "parts", out.folder, resources=Resources(), tell=out.tell, stop=out.stop
        )
        return made
