"""Which models each fused model was made of, and what it is worth beside them."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.artifacts import Model
from jobs.fusing.record import Fused
from jobs.report.blocks import Block, Note, Table
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import ABSENT, percent

HEADINGS = ("Member", "Weight", "Validation accuracy", "Validation loss")
NOTE = (
    "Measured on validation rows, on which members and weights were chosen, by float32 weights. Losses are mean "
    "cross-entropies at each model's own temperature. What is chosen on few rows is partly luck: the comparison on "
    "test rows tells what it is worth."
)


@section(place=62)
def members(artifacts: Artifacts) -> Part | None:
    """Show the members of every model that was fused."""
    blocks: list[Block] = []
    for name, model in only(artifacts, Model).items():
        if model.fused is not None:
            blocks += _made(name, model.fused)
    return Part("Fused", [*blocks, Note(NOTE)]) if blocks else None


def _made(name: str, fused: Fused) -> Iterator[Block]:
    rows = [
        [member.step, f"{member.weight:.3f}" if member.weight else "left out", *_shown(member.accuracy, member.loss)]
        for member in fused.members
    ]
    rows.append([name, ABSENT, *_shown(fused.accuracy, fused.loss)])
    yield Table(f"{name} ({_in_short(fused)}), on {fused.rows:,} rows", HEADINGS, rows)


def _shown(accuracy: float, loss: float) -> tuple[str, str]:
    return percent(accuracy), f"{loss:.4f}"


def _in_short(fused: Fused) -> str:
    told = ("kind", "of", "weights", "recipe")
    return ", ".join(str(fused.method[name]) for name in told if name in fused.method)
