"""What a sweep tried: the winner, curves, how fields and results go together, what mattered, and the front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure as Drawing

from jobs.report.blocks import Block, Figure, Heading, Note, Table
from jobs.report.figures import FIRST, GRID, INK, SECOND, draw, labelled
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import count, percent
from jobs.sweeping.trials import Trials, read_table

Rows = Sequence[dict[str, Any]]
MOST = 50  # trials listed in the table


@section(place=38)
def sweep(artifacts: Artifacts) -> Part | None:
    """Show every sweep."""
    blocks: list[Block] = []
    for name, trials in only(artifacts, Trials).items():
        rows = read_table(trials.folder.fetch())
        blocks += [Heading(name), Note(_summary(trials)), *_float_would(trials, rows), _curves(name, trials, rows)]
        blocks += [*_parallel(name, trials, rows), *_importance(trials), *_front(name, trials, rows)]
        blocks.append(_table(trials, rows))
    return Part("Sweep", blocks) if blocks else None


def _summary(trials: Trials) -> str:
    values = ", ".join(f"{name} {_short(value)}" for name, value in trials.values.items())
    told = ", ".join(f"{name} {_short(trials.measured[name])}" for name in trials.raised)
    own = " (the definition's own values)" if trials.best == 0 else ""
    return (
        f"{count(trials.finished)} trials finished, {count(trials.stopped)} were stopped early and "
        f"{count(trials.failed)} failed, in {trials.seconds:.0f} s and {count(trials.epochs)} epochs. "
        f"Trial {trials.best}{own} is the best: {told}; {values}."
    )


def _float_would(trials: Trials, rows: Rows) -> list[Block]:
    """Say what the float models alone would have chosen, where files were judged."""
    if trials.float_best is None:
        return []
    other = next(row for row in rows if row["number"] == trials.float_best)
    if trials.float_best == trials.best:
        return [Note("The best float model is the same trial's.")]
    shown = ", ".join(f"{name} {_short(other[name])}" for name in ("accuracy", "size_bytes") if name in other)
    words = f"By the float models alone trial {trials.float_best} would have won ({percent(other['float_accuracy'])} "
    return [Note(f"{words}before it was compressed); its file has {shown}.")]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _curves(name: str, trials: Trials, rows: Rows) -> Figure:
    def paint(drawing: Drawing) -> None:
        axes: Any = drawing.subplots()
        for row in rows:
            stopped = row["status"] != "finished"
            winner = row["number"] == trials.best
            color = SECOND if winner else GRID if stopped else FIRST
            epochs = range(1, len(row["curve"]) + 1)
            axes.plot(
                epochs, row["curve"], color=color, ls="--" if stopped else "-", lw=2.4 if winner else 1, marker="."
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"validation {trials.watched}")
        axes.xaxis.get_major_locator().set_params(integer=True)

    caption = f"Validation {trials.watched} of the trials of {name}: stopped ones dashed, the best one thick"
    return Figure(caption, draw(paint, 7, 3, caption))


def _parallel(name: str, trials: Trials, rows: Rows) -> list[Figure]:
    """Draw every finished trial as a line over its values and its result, each axis on its own scale."""
    goal = next(iter(trials.raised))
    shown = [row for row in rows if row["status"] == "finished"]
    fields = list(dict.fromkeys(key for row in shown for key in row["values"]))
    if len(shown) < 2:
        return []
    columns = {field: [row["values"].get(field) for row in shown] for field in fields}
    columns[goal] = [row[goal] for row in shown]
    places = {field: _scaled(values) for field, values in columns.items()}

    def paint(drawing: Drawing) -> None:
        axes = drawing.subplots()
        for index, row in enumerate(shown):
            winner = row["number"] == trials.best
            heights = [places[field][index] for field in columns]
            axes.plot(range(len(columns)), heights, color=SECOND if winner else FIRST, lw=2.4 if winner else 0.8)
        for place, values in enumerate(columns.values()):
            for height, text in _ends(values):
                axes.annotate(
                    labelled(text), (place, height), (3, 3), textcoords="offset points", fontsize=7, color=INK
                )
            axes.axvline(place, color=GRID, lw=0.8)
        axes.set_xticks(range(len(columns)), [labelled(field) for field in columns])
        axes.set_yticks([])

    caption = f"Values and {goal} of the finished trials of {name} (parallel coordinates; the best one thick)"
    return [Figure(caption, draw(paint, max(5, 1.6 * len(columns)), 3, caption))]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scaled(values: Sequence[Any]) -> list[float]:
    """Return where values stand on an axis of 0 to 1: numbers by rank, others by the order they came in."""
    kinds = sorted(set(values), key=lambda v: (not _is_number(v), v if _is_number(v) else str(v)))
    return [kinds.index(value) / max(1, len(kinds) - 1) for value in values]


def _ends(values: Sequence[Any]) -> list[tuple[float, str]]:
    heights = _scaled(values)
    low, high = heights.index(min(heights)), heights.index(max(heights))
    return [(heights[low], _short(values[low])), (heights[high], _short(values[high]))]


def _importance(trials: Trials) -> list[Table]:
    if not trials.importance:
        return []
    rows = [[name, percent(share)] for name, share in trials.importance.items()]
    return [Table("How much of the difference each field makes (fANOVA)", ("Field", "Share"), rows)]


def _front(name: str, trials: Trials, rows: Rows) -> list[Figure]:
    if len(trials.raised) < 2:
        return []
    first, second = list(trials.raised)[:2]
    shown = [row for row in rows if row["status"] == "finished"]

    def paint(drawing: Drawing) -> None:
        axes = drawing.subplots()
        for row in shown:
            on = row["number"] in trials.front
            axes.plot(row[second], row[first], marker="o", ms=6 if on else 4, color=SECOND if on else GRID)
            if on:
                axes.annotate(str(row["number"]), (row[second], row[first]), (4, 4), textcoords="offset points")
        axes.set_xlabel(second)
        axes.set_ylabel(first)

    caption = f"{first} against {second} of the finished trials of {name}; the Pareto front is marked"
    return [Figure(caption, draw(paint, 5, 3.4, caption))]


def _table(trials: Trials, rows: Rows) -> Table:
    fields = list(dict.fromkeys(key for row in rows for key in row["values"]))
    measures = list(trials.measured)
    lines = [
        [
            count(row["number"]),
            row["status"] if not row["error"] else f"failed: {row['error'].splitlines()[0]}",
            *(_short(row["values"].get(field, "–")) for field in fields),
            *("–" if row[measure] is None else _short(row[measure]) for measure in measures),
            count(len(row["curve"])),
            f"{row['seconds']:.1f}",
        ]
        for row in rows[:MOST]
    ]
    caption = "Every trial" if len(rows) <= MOST else f"The first {MOST} trials of {count(len(rows))}"
    return Table(caption, ("Trial", "Status", *fields, *measures, "Epochs", "Seconds"), lines, folded=True)
