"""What is wrong with a definition of trials, whatever draws them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from jobs.job import Job
from jobs.spec import Path
from jobs.sweeping.goals import TRAINED
from jobs.sweeping.plan import Asked


def inner_problems(asked: Asked, steps: Mapping[str, Job], what: str) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong with the training, and the compression, of each trial of `what` (a sweep)."""
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
