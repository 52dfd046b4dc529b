"""What each judged model makes of each class: precision, recall and F1, and which classes it takes for which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Drawing

from jobs.artifacts import Report
from jobs.report.blocks import Block, Figure, Heading, Matrix, Table
from jobs.report.figures import draw, labelled
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import count, percent

TABLED = 25  # classes up to which the matrix is a table with its counts; above, a picture
NAMED = 150  # classes up to which the picture names them
PAIRS = 10
HEADINGS = ("Class", "Precision", "Recall", "F1", "Rows")
TINT = (0.16, 0.42, 0.72)  # drawn over the page's own background, in as much as the share of rows


@section(place=50)
def classes(artifacts: Artifacts) -> Part | None:
    """Show every model that was judged."""
    reports = only(artifacts, Report)
    blocks: list[Block] = []
    for step, report in reports.items():
        for name, found in report.evaluations.items():
            shown = list(_judged(found))
            heading = name if len(reports) == 1 else f"{name}, judged by {step}"
            blocks += [Heading(heading), *shown] if shown else []
    return Part("Classes", blocks) if blocks else None


def _judged(found: Mapping[str, Any]) -> Iterator[Block]:
    table, confusion = found.get("per_class"), found.get("confusion")
    if table:
        rows = [
            [row["class"], percent(row["precision"]), percent(row["recall"]), percent(row["f1"]), count(row["rows"])]
            for row in table
        ]
        yield Table("Scores by class", HEADINGS, rows)
    if table and confusion:
        names = [row["class"] for row in table]
        yield from _mistaken(names, confusion)
        caption = "Confusion matrix: true classes down, predicted classes across"
        yield Matrix(caption, names, confusion) if len(names) <= TABLED else _picture(caption, names, confusion)


def _mistaken(names: Sequence[str], confusion: Sequence[Sequence[int]]) -> Iterator[Table]:
    mistakes = [
        (wrong, true, taken)
        for true, row in enumerate(confusion)
        for taken, wrong in enumerate(row)
        if wrong and taken != true
    ]
    most = sorted(mistakes, key=lambda mistake: -mistake[0])[:PAIRS]
    rows = [
        [names[true], names[taken], count(wrong), percent(wrong / sum(confusion[true]), 1)]
        for wrong, true, taken in most
    ]
    if rows:
        yield Table("Most often mistaken", ("True", "Predicted", "Rows", "Of the class"), rows, texts=2)


def _picture(caption: str, names: Sequence[str], confusion: Sequence[Sequence[int]]) -> Figure:
    counts = np.array(confusion, float)
    pixels = np.empty((*counts.shape, 4))
    pixels[..., :3] = TINT
    pixels[..., 3] = counts / np.maximum(counts.sum(1, keepdims=True), 1)

    def paint(drawing: Drawing) -> None:
        axes = drawing.subplots()
        axes.imshow(pixels, interpolation="none", aspect="equal", zorder=1)
        axes.grid(linewidth=0.3)
        axes.spines[:].set_visible(True)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        if len(names) <= NAMED:
            labels = [labelled(name) for name in names]
            axes.set_xticks(range(len(names)), labels, rotation=90, fontsize=7)
            axes.set_yticks(range(len(names)), labels, fontsize=7)

    side = 2 + 0.135 * min(len(names), NAMED)
    return Figure(caption, draw(paint, side, side, caption))
