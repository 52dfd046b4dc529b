"""The models side by side: what each scored, weighs and takes, and how sure a difference from the first is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jobs.artifacts import Report
from jobs.report.blocks import Block, Note, Table
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import between, count, milliseconds, percent, points, probability

HEADINGS = (
    "Model", "Accuracy", "95 % interval", "Change, points", "p", "Balanced accuracy", "Macro-F1", "Bytes",
    "Of the first", "Gzip bytes", "Parameters", "MACs", "p50, ms", "p99, ms"
)  # fmt: skip
PAIRED = ("Model", "Only the first right", "Only this right", "Change, points", "95 % interval", "p")
NOTE = (
    "Measured on the served files over the test split. Latency is of one row at a time on one thread of the host "
    "that judged; MACs are multiplications with weights for one row. Intervals of an accuracy are Wilson's; p is of "
    "McNemar's exact test on the same rows, and tells how often a difference as large would come by chance were both "
    "models as good."
)


@section(place=10)
def comparison(artifacts: Artifacts) -> Part | None:
    """Show the tables of each report that judged models."""
    blocks: list[Block] = []
    for step, report in only(artifacts, Report).items():
        if report.evaluations:
            first = next(iter(report.evaluations.values()))
            rows = [_row(name, found, first) for name, found in report.evaluations.items()]
            blocks.append(Table(f"Models judged by {step}", HEADINGS, rows))
            blocks += _paired(report)
            blocks += [Note(text) for found in report.evaluations.values() for text in found.get("within_noise", [])]
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
        between(percent, found.get("accuracy_low"), found.get("accuracy_high")),
        points(change),
        probability(found.get("against", {}).get("p_value")),
        percent(found.get("balanced_accuracy")),
        percent(found.get("macro_f1")),
        count(found.get("size_bytes")),
        percent(share, 1),
        count(found.get("gzip_bytes")),
        count(found.get("parameters")),
        count(found.get("macs")),
        milliseconds(found.get("p50_ms")),
        milliseconds(found.get("p99_ms")),
    ]


def _paired(report: Report) -> Iterator[Table]:
    pairs = {name: found["against"] for name, found in report.evaluations.items() if "against" in found}
    if pairs:
        rows = [
            [
                name,
                count(pair["lost"]),
                count(pair["gained"]),
                points(pair["change"]),
                between(points, pair["low"], pair["high"]),
                probability(pair["p_value"]),
            ]
            for name, pair in pairs.items()
        ]
        yield Table(f"Row by row against {next(iter(pairs.values()))['first']}", PAIRED, rows)
