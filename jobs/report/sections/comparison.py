"""The models side by side: what each scored, weighs and takes, and what that is against the first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.artifacts import Report
from jobs.report.blocks import Block, Note, Table
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import count, milliseconds, percent, points

HEADINGS = (
    "Model", "Accuracy", "Change, points", "Macro-F1", "Bytes", "Of the first", "Gzip bytes", "p50, ms", "p99, ms"
)  # fmt: skip
NOTE = (
    "Measured on the served files over the test split. Latency is of one row at a time on one thread of the host "
    "that judged."
)


@section(place=10)
def comparison(artifacts: Artifacts) -> Part | None:
    """Show one table for each report that judged models."""
    blocks: list[Block] = []
    for step, report in only(artifacts, Report).items():
        if report.evaluations:
            first = next(iter(report.evaluations.values()))
            rows = [_row(name, found, first) for name, found in report.evaluations.items()]
            blocks.append(Table(f"Models judged by {step}", HEADINGS, rows))
    return Part("Comparison", [*blocks, Note(NOTE)]) if blocks else None


def _row(name: str, found: Mapping[str, Any], first: Mapping[str, Any]) -> list[str]:
    change = share = None
    if "accuracy" in found and "accuracy" in first:
        change = found["accuracy"] - first["accuracy"]
    if "size_bytes" in found and first.get("size_bytes"):
        share = found["size_bytes"] / first["size_bytes"]
    return [
        name,
        percent(found.get("accuracy")),
        points(change),
        percent(found.get("macro_f1")),
        count(found.get("size_bytes")),
        percent(share, 1),
        count(found.get("gzip_bytes")),
        milliseconds(found.get("p50_ms")),
        milliseconds(found.get("p99_ms")),
    ]
