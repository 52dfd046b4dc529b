"""What the techniques promised and what was measured of it, which layers they left out, and the files' other forms."""

from __future__ import annotations

from jobs.artifacts import Finding, Model
from jobs.exporting.forms import Variant
from jobs.report.blocks import Block, Note, Table
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import count, milliseconds, percent

FORMS = ("Form", "Accuracy", "Agreement", "Bytes", "Gzip", "p50, ms", "p99, ms", "")
HEADINGS = ("Technique", "Layer", "What", "Promised", "Measured", "Kept")


@section(place=60)
def promises(artifacts: Artifacts) -> Part | None:
    """Show the findings of every model that has any."""
    blocks: list[Block] = []
    for name, model in only(artifacts, Model).items():
        if model.findings:
            kept = sum(finding.kept for finding in model.findings)
            blocks.append(Note(f"{name}: {kept:,} of {len(model.findings):,} promises kept."))
            blocks.append(Table(f"Promises made for {name}", HEADINGS, [_row(f) for f in model.findings], texts=6))
        if model.skipped:
            rows = [(skipped.layer, skipped.why) for skipped in model.skipped]
            blocks.append(Table(f"Layers left out in {name}", ("Layer", "Why"), rows, texts=2))
    return Part("Promises", blocks) if blocks else None


@section(place=62)
def forms(artifacts: Artifacts) -> Part | None:
    """Show what each model's file was chosen among, and what it was exported as."""
    blocks: list[Block] = []
    for name, model in only(artifacts, Model).items():
        if model.variants:
            rows = [_variant(variant) for variant in model.variants]
            caption = f"Files of {name}, on {count(model.variants[0].rows)} validation rows, one thread, row by row"
            blocks.append(Table(caption, FORMS, rows))
        for found in model.exports:
            text = (
                f"{name} is also kept as {found.form} in {found.path}, not quantized: on {count(found.rows)} rows its"
            )
            warning = f" ({found.warning})" if found.warning else ""
            blocks.append(Note(f"{text} logits differ by {found.difference:.1g} at most{warning}."))
    return Part("Forms of the file", blocks) if blocks else None


def _variant(found: Variant) -> list[str]:
    return [
        found.name,
        percent(found.accuracy),
        percent(found.agreement),
        count(found.size_bytes),
        count(found.gzip_bytes),
        milliseconds(found.p50_ms),
        milliseconds(found.p99_ms),
        "served" if found.chosen else "",
    ]


def _row(finding: Finding) -> list[str]:
    return [
        finding.technique,
        finding.layer or "the whole model",
        finding.what,
        finding.promised,
        finding.measured,
        "kept" if finding.kept else "broken",
    ]
