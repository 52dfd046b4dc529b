"""What the techniques promised, and what was measured of it."""

from __future__ import annotations

from jobs.artifacts import Finding, Model
from jobs.report.blocks import Block, Note, Table
from jobs.report.section import Artifacts, Part, only, section

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
    return Part("Promises", blocks) if blocks else None


def _row(finding: Finding) -> list[str]:
    return [
        finding.technique,
        finding.layer or "the whole model",
        finding.what,
        finding.promised,
        finding.measured,
        "kept" if finding.kept else "broken",
    ]
