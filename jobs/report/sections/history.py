"""How each model was trained: loss and accuracy by epoch over all phases, on training and validation rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.figure import Figure as Drawing

from jobs.artifacts import Epoch, Model
from jobs.report.blocks import Block, Figure, Heading, Note, Table
from jobs.report.figures import FIRST, INK, SECOND, draw, labelled
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import count, percent

MOST = 200  # epochs listed in the table
PRIVATE = "private"
HEADINGS = ("Phase", "Epoch", "Loss", "Validation loss", "Accuracy", "Validation accuracy", "Seconds", "Rows/s")
CURVES: dict[str, tuple[Callable[[Epoch], float], Callable[[Epoch], float]]] = {
    "Loss": (lambda epoch: epoch.loss, lambda epoch: epoch.validation_loss),
    "Accuracy": (lambda epoch: epoch.accuracy, lambda epoch: epoch.validation_accuracy),
}


@section(place=40)
def history(artifacts: Artifacts) -> Part | None:
    """Show the curves of every model that has any, and their numbers."""
    blocks: list[Block] = []
    for name, model in only(artifacts, Model).items():
        if model.history:
            blocks += [Heading(name), _curves(name, model.history), *_spent(model.history), _numbers(model.history)]
    return Part("Training", blocks) if blocks else None


def starts(epochs: Sequence[Epoch]) -> list[int]:
    """Return the places at which a phase starts: its name is another, or epochs count from one again."""
    changed = (
        place + 1
        for place, (before, after) in enumerate(pairwise(epochs))
        if after.phase != before.phase or after.epoch <= before.epoch
    )
    return [0, *changed]


def _curves(name: str, epochs: Sequence[Epoch]) -> Figure:
    def paint(drawing: Drawing) -> None:
        for axes, title in zip(drawing.subplots(1, 2), CURVES, strict=True):
            _paint(axes, title, epochs)
        drawing.legend(*drawing.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)

    phases = ", ".join(epochs[start].phase for start in starts(epochs))
    caption = f"Loss and accuracy of {name} by epoch, through: {phases}"
    return Figure(caption, draw(paint, 9, 3, caption))


def _paint(axes: Any, title: str, epochs: Sequence[Epoch]) -> None:
    train, validation = CURVES[title]
    places = range(1, len(epochs) + 1)
    marker = "o" if len(epochs) <= 30 else None
    axes.plot(places, [train(epoch) for epoch in epochs], color=FIRST, marker=marker, ms=3, label="train")
    axes.plot(
        places, [validation(epoch) for epoch in epochs], color=SECOND, marker=marker, ms=3, ls="--", label="validation"
    )
    axes.set_title(title, pad=18)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlim(0.5, len(epochs) + 0.5)
    for start in starts(epochs):
        if start:
            axes.axvline(start + 0.5, color=INK, linewidth=0.8, linestyle=":")
        place = (start + 0.5, 1.0)
        axes.annotate(
            labelled(epochs[start].phase), place, (2, 3), axes.get_xaxis_transform(), "offset points", fontsize=8
        )


def _spent(epochs: Sequence[Epoch]) -> list[Note]:
    """Say what the training told of any one client, where that was accounted for."""
    spent = [epoch.facts for epoch in epochs if "epsilon" in epoch.facts]
    if not spent:
        return []
    last = spent[-1]
    words = f"After {count(len(spent))} rounds the weights are differentially private of any one client, with ε"
    return [Note(f"{words} = {last['epsilon']:.3f} at δ = {last['delta']:g} (Rényi accountant, Poisson sampling).")]


def _numbers(epochs: Sequence[Epoch]) -> Table:
    stride = -(-len(epochs) // MOST)
    shown = [epoch for place, epoch in enumerate(epochs) if (len(epochs) - 1 - place) % stride == 0]
    every = "Every epoch" if stride == 1 else f"One epoch in {stride}"
    rows = [
        [
            epoch.phase,
            count(epoch.epoch),
            PRIVATE if math.isnan(epoch.loss) else f"{epoch.loss:.4f}",
            f"{epoch.validation_loss:.4f}",
            PRIVATE if math.isnan(epoch.accuracy) else percent(epoch.accuracy),
            percent(epoch.validation_accuracy),
            f"{epoch.seconds:.1f}",
            f"{epoch.rows_per_second:,.0f}",
        ]
        for epoch in shown
    ]
    return Table(f"{every} in numbers", HEADINGS, rows, folded=True)
