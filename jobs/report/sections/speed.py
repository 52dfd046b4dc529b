"""How fast each model was trained and where the time went; models of several strategies stand side by side."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from jobs.artifacts import Epoch, Model, Report, Timing
from jobs.report.blocks import Block, Note, Table
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import ABSENT, count, counted, milliseconds, percent

SPEED = (
    "Model", "Workers", "Rows/s of each", "p50 of a train step, ms", "p90, ms", "p99, ms", "In input",
    "In computation", "In communication", "Bytes sent a train step"
)  # fmt: skip
SIDE_BY_SIDE = ("Model", "Strategy", "Accuracy", "Rows/s", "Bytes sent", "Wall time, s")
NOTE = (
    "Medians over epochs, each of which is measured as worker 0 or the coordinator sees it. Input is the time in which "
    "train steps waited for their rows. Communication is the time one exchange takes by itself, times the train steps; "
    "computation is the rest where both were measured, so waiting for another worker is in it. Each train step is "
    "timed by itself, but for rounds of clients, whose steps count with their mean. The first epoch also traces the "
    "graph. Bytes are what all processes together send by the strategy's algorithm; they are not counted on the wire."
)
WALL = "Wall time is that of the epochs' train steps: no start of processes, no judgement, no checkpoint is in it."


@section(place=45)
def speed(artifacts: Artifacts) -> Part | None:
    """Show the speed of every model whose training was timed."""
    trained = {name: model for name, model in only(artifacts, Model).items() if model.history}
    timed = {name: model for name, model in trained.items() if _timings(model.history)}
    if not timed:
        return None
    blocks: list[Block] = []
    if len({json.dumps(model.strategy, sort_keys=True) for model in trained.values()}) > 1:
        reports = only(artifacts, Report).values()
        judged = {name: found for report in reports for name, found in report.evaluations.items()}
        rows = [_beside(name, model, judged.get(name, {})) for name, model in trained.items()]
        blocks += [Table("Strategies side by side", SIDE_BY_SIDE, rows, texts=2), Note(WALL)]
    blocks += [Table("Where the time of training went", SPEED, [_row(*pair) for pair in timed.items()]), Note(NOTE)]
    return Part("Speed", blocks)


def _timings(history: list[Epoch]) -> list[Timing]:
    return [epoch.timing for epoch in history if epoch.timing is not None]


def _beside(name: str, model: Model, judged: Mapping[str, Any]) -> list[str]:
    """Return a model's row; one whose training tells no speed, as it may be a secret, has none in it."""
    timings = _timings(model.history)
    sent = sum(timing.bytes_sent * timing.train_steps for timing in timings)
    workers = _workers(model) if timings else model.strategy.get("workers", 1)
    return [
        name,
        f"{model.strategy.get('kind', ABSENT)}, {counted(workers, 'worker', 'workers')}",
        percent(judged.get("accuracy")),
        f"{statistics.median(epoch.rows_per_second for epoch in model.history):,.0f}" if timings else ABSENT,
        count(sent if timings else None),
        f"{sum(epoch.seconds for epoch in model.history):.1f}",
    ]


def _workers(model: Model) -> int:
    """Return how many workers trained at the end: there may be a range of them in the strategy."""
    return len(_timings(model.history)[-1].rows_per_second)


def _row(name: str, model: Model) -> list[str]:
    timings = _timings(model.history)
    each = [statistics.median(timing.rows_per_second) for timing in timings]
    return [
        name,
        count(_workers(model)),
        f"{statistics.median(each):,.0f}",
        milliseconds(statistics.median(timing.p50_ms for timing in timings)),
        milliseconds(statistics.median(timing.p90_ms for timing in timings)),
        milliseconds(statistics.median(timing.p99_ms for timing in timings)),
        _share((timing.input_seconds, timing.seconds) for timing in timings),
        _share((timing.compute_seconds, timing.seconds) for timing in timings),
        _share((timing.communication_seconds, timing.seconds) for timing in timings),
        count(int(statistics.median(timing.bytes_sent for timing in timings))),
    ]


def _share(parts: Iterable[tuple[float | None, float]]) -> str:
    """Return the median share of the time that a part has, of the epochs in which it was measured."""
    shares = [part / whole for part, whole in parts if part is not None]
    return percent(statistics.median(shares), 1) if shares else ABSENT
