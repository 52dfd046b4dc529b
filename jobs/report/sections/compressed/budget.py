"""The chains that a compression within a budget tried: accuracy against bytes and time, and which of them was taken."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure as Drawing

from jobs.artifacts import Model
from jobs.budget.record import Budget, Tried
from jobs.report.blocks import Block, Figure, Note, Table
from jobs.report.figures import FIRST, GRID, INK, SECOND, draw
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import ABSENT, count, milliseconds, percent, points

HEADINGS = ("Chain", "Techniques", "Drawn", "Accuracy", "Change, points", "Bytes", "p99, ms", "")
AXES = {"size_bytes": "bytes", "p99_ms": "p99, ms"}
NOTE = (
    "Measured on validation rows, by the file of each chain, on the host that compressed. The front holds the chains "
    "that no other beats in one of accuracy, bytes and p99 without losing in another."
)


@section(place=63)
def budget(artifacts: Artifacts) -> Part | None:
    """Show what was tried for every model whose chain was chosen."""
    blocks: list[Block] = []
    for name, model in only(artifacts, Model).items():
        if (found := model.budget) is not None:
            rows = [_row(found, trial) for trial in found.tried]
            blocks += [_plot(name, found), Table(f"Chains tried for {name}", HEADINGS, rows, texts=3), _promise(found)]
    return Part("Budget", [*blocks, Note(NOTE)]) if blocks else None


def _row(budget: Budget, trial: Tried) -> list[str]:
    measured, change = trial.measured, None
    if measured:
        change = measured["accuracy"] - budget.before["accuracy"]
    drawn = ", ".join(f"{path} {value}" for path, value in trial.values.items() if "[" in path)
    return [
        count(trial.number),
        " → ".join(trial.chain),
        drawn or ABSENT,
        percent(measured.get("accuracy")),
        points(change),
        count(int(measured["size_bytes"]) if measured else None),
        milliseconds(measured.get("p99_ms")),
        _mark(trial),
    ]


def _mark(trial: Tried) -> str:
    if trial.failed:
        return f"failed: {trial.failed.splitlines()[0]}"
    return "taken" if trial.chosen else "on the front" if trial.front else ""


def _promise(budget: Budget) -> Note:
    kept = [f"{name} at {'least' if name == 'accuracy' else 'most'} {v:g}" for name, v in budget.limits.items()]
    return Note(f"The {budget.choose} that keeps {', '.join(kept)} was taken.")


def _plot(name: str, budget: Budget) -> Figure:
    shown = [trial for trial in budget.tried if trial.measured]

    def paint(drawing: Drawing) -> None:
        for axes, (measure, label) in zip(drawing.subplots(1, 2), AXES.items(), strict=True):
            _paint(axes, measure, shown, budget)
            axes.set_xlabel(label)
            axes.set_ylabel("accuracy")

    caption = f"Accuracy against bytes and p99 of the chains tried for {name}; the front is marked, the one taken large"
    return Figure(caption, draw(paint, 9, 3.2, caption))


def _paint(axes: Any, measure: str, shown: list[Tried], budget: Budget) -> None:
    for trial in shown:
        place = trial.measured[measure], trial.measured["accuracy"]
        color = SECOND if trial.front else GRID
        axes.plot(*place, marker="o", ms=9 if trial.chosen else 5, color=color)
        axes.annotate(str(trial.number), place, (5, 4), textcoords="offset points", fontsize=7, color=INK)
    axes.plot(budget.before[measure], budget.before["accuracy"], marker="s", ms=5, color=FIRST)
    if (limit := budget.limits.get(measure)) is not None:
        axes.axvline(limit, color=INK, lw=0.8, ls=":")
    if (least := budget.limits.get("accuracy")) is not None:
        axes.axhline(least, color=INK, lw=0.8, ls=":")
