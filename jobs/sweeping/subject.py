"""What a definition of trials tries: one training, and what is made of its model, whatever draws their fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any

from pydantic import Field

from cluster.resources import Resources
from jobs.job import Job
from jobs.kinds.compress import Compress
from jobs.kinds.train import Train
from jobs.spec import INCIDENTAL, Path, Spec
from jobs.strategies import DEFAULT, Strategy
from jobs.sweeping.goals import TRAINED
from jobs.sweeping.plan import Asked, at_once
from jobs.techniques import Technique


class Compression(Spec):
    """What is done to each trial's model before it is judged: the file that would be served is measured."""

    techniques: Annotated[list[Technique], Field(min_length=1, max_length=16)]
    strategy: Strategy = DEFAULT


class Subject(Spec):
    """The base of such jobs, beside `Job`."""

    train: Train
    compress: Compression | None = None
    concurrent: Annotated[
        int | None, INCIDENTAL, Field(ge=1, description="Trials at once, at most; as many as the cluster holds")
    ] = None

    def asked(self) -> Asked:
        """Return what a trial does, before anything is drawn."""
        if self.compress is None:
            return Asked(self.train, None)
        fields = {name: getattr(self.compress, name) for name in type(self.compress).model_fields}
        return Asked(self.train, Compress(model="trained", data=self.train.data, **fields))

    def located(self) -> Asked:
        """Return the same with paths that count from the folder of this process made whole."""
        asked, here = self.asked(), FilePath.cwd()
        train = asked.train.model_copy(update={"model": asked.train.located()})
        if asked.compress is None:
            return Asked(train, None)
        techniques = [technique.located(here) for technique in asked.compress.techniques]
        return Asked(train, asked.compress.model_copy(update={"techniques": techniques}))

    def resources(self) -> Resources:
        """Return what one trial holds: the least that is needed."""
        return self.asked().resources()

    def processes(self) -> list[Resources]:
        """Return what each process of a trial holds."""
        return self.train.processes()

    def most_trials(self) -> int:
        """Return how many trials there are at most."""
        raise NotImplementedError

    def at_once(self, room: Resources | None) -> int:
        """Return how many trials may run at once."""
        most = self.most_trials()
        return at_once(self.resources(), room, min(most, self.concurrent or most))

    def digest(self, memo: Callable[[Any], str]) -> str:
        """Return the digest of the weights that trials start from."""
        asked = self.asked()
        parts = [asked.train.digest(memo), asked.compress.digest(memo) if asked.compress is not None else ""]
        return "\n".join(part for part in parts if part)

    def trial_problems(self, steps: Mapping[str, Job], what: str) -> Iterator[tuple[Path, str]]:
        """Yield what is wrong with the training, and the compression, of each trial of `what` (a sweep)."""
        asked = self.asked()
        yield from ((("train", *path), text) for path, text in asked.train.problems(steps))
        for field in ("after", "best_of", "timeout"):
            if field in asked.train.model_fields_set:
                yield ("train", field), f"means nothing within {what}: say it of a step"
        if asked.compress is not None:
            for path, text in asked.compress.problems({**steps, "trained": asked.train}):
                yield ("compress", *path), text
            if (asked.train.strategy.workers > 1) != (asked.compress.strategy.workers > 1):
                yield (
                    ("compress", "strategy"),
                    "must have one worker where train.strategy has one, several elsewhere",
                )


def measure_problems(raised: Sequence[str], lowered: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Yield which measures are sought the wrong way round, or twice."""
    for field, names, wrong in (("maximise", raised, TRAINED[1:]), ("minimise", lowered, TRAINED[:1])):
        for index, name in enumerate(names):
            if name in wrong or (field == "maximise" and name not in TRAINED):
                yield (field, index), f"'{name}' is better the {'lower' if field == 'maximise' else 'higher'}"
            if name in names[:index]:
                yield (field, index), f"'{name}' is listed already"
