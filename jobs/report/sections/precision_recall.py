"""Precision against recall of each class, one against the rest: what accuracy hides when classes are uneven."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Drawing

from jobs.artifacts import Report
from jobs.report.blocks import Block, Figure, Heading, Table
from jobs.report.figures import FIRST, SECOND, draw, labelled
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import count, percent

HEADINGS = ("Class", "Average precision", "Rows")


@section(place=52)
def precision_recall(artifacts: Artifacts) -> Part | None:
    """Show the curves of every model they were measured of."""
    reports = only(artifacts, Report)
    blocks: list[Block] = []
    for step, report in reports.items():
        for name, found in report.evaluations.items():
            if "precision_at_recall" in found:
                heading = name if len(reports) == 1 else f"{name}, judged by {step}"
                blocks += [Heading(heading), _figure(heading, found), _table(found)]
    return Part("Precision and recall", blocks) if blocks else None


def _figure(name: str, found: Mapping[str, Any]) -> Figure:
    curves = found["precision_at_recall"]
    precisions = found["average_precision"]
    worst = min(curves, key=lambda index: precisions[int(index)])

    def paint(drawing: Drawing) -> None:
        axes = drawing.subplots()
        for index, precision in curves.items():
            is_worst = index == worst
            label = labelled(f"{found['per_class'][int(index)]['class']}, {precisions[int(index)]:.3f}")
            axes.plot(
                np.linspace(0, 1, len(precision)),
                precision,
                color=SECOND if is_worst else FIRST,
                linewidth=1.8 if is_worst else 0.8,
                alpha=1 if is_worst else 0.6,
                label=label if is_worst else None,
            )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.legend(loc="lower left", title="least average precision")

    caption = (
        f"Precision against recall of {name}, one class against the rest: {len(curves)} of {len(precisions)} classes"
    )
    return Figure(caption, draw(paint, 5, 3.4, caption))


def _table(found: Mapping[str, Any]) -> Table:
    rows = [
        [row["class"], percent(precision), count(row["rows"])]
        for row, precision in zip(found["per_class"], found["average_precision"], strict=True)
    ]
    rows.append(["Mean of classes", percent(found["macro_average_precision"]), count(found.get("rows"))])
    return Table("Average precision by class", HEADINGS, rows)
