"""The Trials artifact: every trial of a sweep as Parquet, and the one that won."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.artifacts import Artifact
from jobs.spec import Scalar

if TYPE_CHECKING:
    from jobs.sweeping.record import Trial

TABLE = "trials.parquet"


class Trials(Artifact):
    """What a sweep tried, in `trials.parquet`, a row a trial: `number`, `status`, `seed`, `seconds`, `begun`, `error`,

    `values` (JSON by path), `curve` (the watched measure after each epoch), and a column for each thing measured.
    """

    best: int
    values: dict[str, Scalar]  # of the winner
    measured: dict[str, float]  # of the winner
    raised: dict[str, bool]  # the goals in order: whether each is to be raised
    limits: dict[str, float] = {}
    front: list[int] = []  # numbers of the trials on the Pareto front, with several goals
    watched: str
    finished: int
    stopped: int
    failed: int
    importance: dict[str, float] = {}  # of each field for the first goal (fANOVA), where there are enough trials
    seconds: float
    epochs: int  # trained over all trials
    candidates: int = 0  # of an architecture search: how many there are in its space; they are in candidates.json
    refused: int = 0  # of these, beyond the limits before anything was trained
    agreement: float | None = None  # Kendall's τ of a supernet's ranking with trainings alone
    float_best: int | None = None  # what would have won by the float model alone, where a served file was judged


def write_table(path: Path, trials: list[Trial]) -> None:
    """Write the table of trials into the folder `path`."""
    import pyarrow as pa
    from pyarrow import parquet

    measures = sorted({name for trial in trials for name in trial.measured})
    rows = [
        trial.model_dump(exclude={"values", "measured"})
        | {"values": json.dumps(trial.values)}
        | {name: trial.measured.get(name) for name in measures}
        for trial in trials
    ]
    fields = [
        ("number", pa.int32()),
        ("status", pa.string()),
        ("seed", pa.int64()),
        ("seconds", pa.float64()),
        ("begun", pa.float64()),
        ("error", pa.string()),
        ("values", pa.string()),
        ("curve", pa.list_(pa.float64())),
        *((name, pa.float64()) for name in measures),
    ]
    parquet.write_table(pa.Table.from_pylist(rows, pa.schema(fields)), path / TABLE)


def read_table(path: Path) -> list[dict[str, Any]]:
    """Return the rows of the table in the folder `path`, their values as a mapping."""
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(path / TABLE).to_pylist()
    return [row | {"values": json.loads(row["values"])} for row in rows]
