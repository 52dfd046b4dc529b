"""How the speed of a training grows with its workers, as `espalier bench-strategy` found it."""

from __future__ import annotations

from matplotlib.figure import Figure as Drawing

from jobs.artifacts import Scaling, Speed
from jobs.report.blocks import Block, Figure, Heading, Note, Table
from jobs.report.figures import FIRST, INK, draw
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import ABSENT, count, counted, milliseconds, percent

HEADINGS = (
    "Workers", "Rows/s", "Rows/s of each", "Efficiency", "p50 of a train step, ms", "In input", "In communication",
    "Bytes sent a train step"
)  # fmt: skip
NOTE = (
    "The same model on the same rows, in the same global batches; the epoch of median speed, the first left out. "
    "Efficiency is the speed of one worker as a share of its speed with the fewest workers."
)


@section(place=46)
def scaling(artifacts: Artifacts) -> Part | None:
    """Show each training that was timed with several numbers of workers."""
    blocks: list[Block] = []
    for made in only(artifacts, Scaling).values():
        rows = [_row(speed) for speed in made.speeds]
        title = f"{made.step}, {made.strategy['kind']}, {counted(made.batch_size, 'row', 'rows')} a global batch"
        blocks += [Heading(title), _curve(made), Table(f"Speed of {made.step} by workers", HEADINGS, rows)]
    return Part("Scaling", [*blocks, Note(NOTE)]) if blocks else None


def _row(speed: Speed) -> list[str]:
    timing = speed.timing
    of_steps = [ABSENT] * 4
    if timing is not None:
        shares = (
            None if part is None else part / timing.seconds
            for part in (timing.input_seconds, timing.communication_seconds)
        )
        of_steps = [milliseconds(timing.p50_ms), *(percent(share, 1) for share in shares), count(timing.bytes_sent)]
    each = speed.rows_per_second / speed.workers
    return [
        count(speed.workers), f"{speed.rows_per_second:,.0f}", f"{each:,.0f}", percent(speed.efficiency, 1), *of_steps
    ]  # fmt: skip


def _curve(made: Scaling) -> Figure:
    workers = [speed.workers for speed in made.speeds]
    first = made.speeds[0]

    def paint(drawing: Drawing) -> None:
        axes = drawing.subplots()
        linear = [first.rows_per_second / first.workers * number for number in workers]
        axes.plot(workers, linear, color=INK, linewidth=0.8, linestyle=":", label="in proportion")
        axes.plot(workers, [speed.rows_per_second for speed in made.speeds], color=FIRST, marker="o", label="measured")
        axes.set_xlabel("workers")
        axes.set_ylabel("rows/s")
        axes.set_xticks(workers)
        axes.set_ylim(bottom=0)
        axes.legend()

    caption = f"Rows/s of {made.step} by workers"
    return Figure(caption, draw(paint, 5, 3, caption))
