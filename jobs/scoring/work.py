"""Scores a source on the cluster with Ray Data: its pieces go to workers that hold the file, answers come in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from cluster.errors import StepError
from cluster.folder import Folder
from cluster.stream import stream
from jobs.artifacts import Model, Scores
from jobs.data.sources import Source
from jobs.scoring.parts import LISTED, Seal, name_of, sealed, table_of, write_part
from jobs.scoring.scorer import Block, Scorer

TOLD = 2.0  # seconds between two reports of progress
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class ScoreWork:
    """What is to be scored, and how."""

    model: Folder
    source: Source
    labelled: bool
    top: int | None
    batch_size: int
    workers: int
    part_rows: int = 8_192  # of a part, or a few more: it ends where a block does


@dataclass(frozen=True)
class Scored:
    """A block of answers, and the place in the source after it: a piece, and rows of that piece."""

    block: Block
    piece: int
    offset: int


class ScoringWorker:
    """A `Scorer` in a process of its own."""

    def __init__(self, folder: Folder, batch_size: int) -> None:
        self.scorer = Scorer(folder, batch_size)

    def __call__(self, item: tuple[int, Any, int]) -> Iterator[Scored]:
        """Score one piece of the source: (its number, the piece, its rows that are done)."""
        number, piece, done = item
        for block, is_last in _ending(self.scorer.blocks(islice(piece(), done, None))):
            done += len(block.names)
            yield Scored(block, number + 1, 0) if is_last else Scored(block, number, done)


def answers(work: ScoreWork, piece: int, offset: int, worker: type[ScoringWorker] = ScoringWorker) -> Iterator[Scored]:
    """Yield what the workers answer from row `offset` of a piece of the source on, in the order of the source."""

    def pieces() -> Iterator[tuple[int, Any, int]]:
        for number, found in islice(enumerate(work.source.parts()), piece, None):
            yield number, found, offset if number == piece else 0

    return stream(pieces, lambda: worker(work.model, work.batch_size), work.workers)


class Writer:
    """Gathers answers into parts below `folder`, going on after those that are whole there."""

    def __init__(self, work: ScoreWork, folder: Folder, tell: Tell) -> None:
        self.work, self.folder, self.tell = work, folder, tell
        self.classes = Model.load(work.model).classes
        self.seals: list[Seal] = list(sealed(folder))
        self.held: list[Block] = []
        self.after = (self.seals[-1].piece, self.seals[-1].offset) if self.seals else (0, 0)
        self.rows = 0
        self.began = time.monotonic()
        self.first: tuple[int, float] | None = None  # rows, and the time, when the first answers came
        self.told = 0.0

    def take(self, scored: Scored) -> None:
        """Hold a block, and write a part once there are rows enough."""
        self.after = (scored.piece, scored.offset)
        self.held.append(scored.block)
        self.rows += len(scored.block.names)
        now = time.monotonic()
        self.first = self.first or (self.rows, now)
        if sum(len(block.names) for block in self.held) >= self.work.part_rows:
            self.flush()
        if now - self.told >= TOLD:
            self.told = now
            self.tell({"rows": self.total(), "rows_per_second": round(self.speed(), 1)})

    def flush(self) -> None:
        """Write what is held as a part."""
        if self.held:
            work = self.work
            table = table_of(self.held, self.classes, work.top, work.labelled)
            self.seals.append(write_part(self.folder, len(self.seals), table, *self.after))
            self.held = []

    def total(self) -> int:
        """Return the rows scored, by earlier attempts too."""
        return sum(seal.rows for seal in self.seals) + sum(len(block.names) for block in self.held)

    def speed(self) -> float:
        """Return rows a second of this attempt since the first answers came; since it began, when there are no more."""
        if self.first is None:
            return 0.0
        rows, since = self.rows - self.first[0], self.first[1]
        if not rows:
            rows, since = self.rows, self.began
        return rows / max(time.monotonic() - since, 1e-9)

    def finish(self, out: Folder) -> Scores:
        """Copy the parts into `out`, and return the facts."""
        self.flush()
        speed, rows = self.speed(), self.total()
        rejected = sum(seal.rejected_rows for seal in self.seals)
        if rejected == rows:
            first = f": {self.seals[0].rejected[0].row} {self.seals[0].rejected[0].reason}" if rows else ""
            raise StepError(
                "the source", f"has {rows} rows, none of which can be scored{first}", "rows the model reads"
            )
        self.tell({"rows": rows, "rows_per_second": round(speed, 1)})
        if rejected:
            self.tell({"warning": f"{rejected} of {rows} rows cannot be scored: the column reason says why"})
        for number in range(len(self.seals)):
            out.write_bytes(name_of(number), self.folder.read_bytes(name_of(number)))
        labelled = sum(seal.labelled for seal in self.seals)
        model = Model.load(self.work.model)
        return Scores(
            model_sha256=self.work.model.sha256(model.served),
            classes=self.classes,
            rows=rows,
            parts=len(self.seals),
            rejected_rows=rejected,
            rejected=[row for seal in self.seals for row in seal.rejected][:LISTED],
            accuracy=sum(seal.right for seal in self.seals) / labelled if labelled else None,
            rows_per_second=speed,
            start_seconds=self.first[1] - self.began if self.first else 0.0,
        )


def score(
    work: ScoreWork, parts: Folder, out: Folder, tell: Tell, worker: type[ScoringWorker] = ScoringWorker
) -> Scores:
    """Score what is not scored yet, keeping parts in `parts`, and leave the artifact's files in `out`."""
    writer = Writer(work, parts, tell)
    if writer.seals:
        tell({"start": f"going on after {writer.total():,} rows"})
    for scored in answers(work, *writer.after, worker):
        writer.take(scored)
    return writer.finish(out)


def _ending(blocks: Iterable[Block]) -> Iterator[tuple[Block, bool]]:
    """Yield each block, and whether it is the last."""
    rest = iter(blocks)
    held = next(rest, None)
    while held is not None:
        following = next(rest, None)
        yield held, following is None
        held = following
