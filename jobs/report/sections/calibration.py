"""Whether each judged model's probabilities mean what they say, and what becomes of accuracy when it may abstain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.figure import Figure as Drawing

from jobs.artifacts import Report
from jobs.report.blocks import Block, Figure, Note, Table
from jobs.report.figures import FIRST, GRID, draw
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import ABSENT, between, count, percent

BINS = 15
HEADINGS = ("Model", "Temperature", "ECE", "ECE before", "NLL", "NLL before", "Brier", "Brier before")
COVERED = ("Aimed coverage", "Threshold", "Coverage", "Accuracy", "95 % interval", "Rows")
NOTE = (
    "ECE is the expected calibration error over 15 bins, NLL the mean negative log-likelihood; before and after logits "
    "are divided by the temperature fitted on validation rows. Thresholds too were chosen on validation rows; what "
    "they do was measured on the test split."
)


@section(place=55)
def calibration(artifacts: Artifacts) -> Part | None:
    """Show every model whose probabilities were judged."""
    blocks: list[Block] = []
    reports = only(artifacts, Report)
    for step, report in reports.items():
        judged = {name: found for name, found in report.evaluations.items() if "calibration" in found}
        if judged:
            rows = [_row(name, found["calibration"]) for name, found in judged.items()]
            blocks.append(Table(f"Calibration of models judged by {step}", HEADINGS, rows))
            for name, found in judged.items():
                blocks += _shown(name if len(reports) == 1 else f"{name}, judged by {step}", found)
    return Part("Calibration", [*blocks, Note(NOTE)]) if blocks else None


def _row(name: str, found: Mapping[str, Any]) -> list[str]:
    pairs = [found[fact] for score in ("ece", "nll", "brier") for fact in (score, f"{score}_before")]
    return [name, f"{found['temperature']:.3f}", *(f"{value:.4f}" for value in pairs)]


def _shown(name: str, found: Mapping[str, Any]) -> Iterator[Block]:
    caption = f"Reliability of {name}: accuracy of the rows answered with each probability"
    bins = found["calibration"]["bins"]
    yield Figure(caption, draw(lambda drawing: _paint(drawing, bins), 4.5, 3.2, caption))
    table = [_covered(percent(row["aimed"], 0), row) for row in found.get("risk_coverage", [])]
    if "reject" in found:
        table.append(_covered(f"as {percent(found['reject']['aimed'], 1)} accuracy needs", found["reject"]))
    if table:
        yield Table(f"What {name} answers when it may abstain", COVERED, table)


def _covered(aimed: str, row: Mapping[str, Any]) -> list[str]:
    threshold = f"{row['threshold']:.4f}" if row["threshold"] else ABSENT
    interval = between(percent, row["low"], row["high"])
    return [aimed, threshold, percent(row["coverage"], 1), percent(row["accuracy"]), interval, count(row["rows"])]


def _paint(drawing: Drawing, bins: list[Mapping[str, Any]]) -> None:
    axes = drawing.subplots()
    axes.plot([0, 1], [0, 1], color=GRID, linewidth=1)
    left = [found["bin"] / BINS for found in bins]
    axes.bar(left, [found["accuracy"] for found in bins], 1 / BINS, align="edge", color=FIRST, alpha=0.35)
    axes.plot([b["confidence"] for b in bins], [b["accuracy"] for b in bins], color=FIRST, marker="o", ms=3)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("probability")
    axes.set_ylabel("accuracy")
