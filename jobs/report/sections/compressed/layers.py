"""How each compressed model's file stores its layers: bits, zeros and different values of every kernel."""

from __future__ import annotations

from jobs.artifacts import Model
from jobs.exporting.forms import StoredLayer
from jobs.report.blocks import Block, Note, Table
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import count, percent

HEADINGS = ("Layer", "Type", "Bits", "Weights", "Zeros", "Different values")


@section(place=61)
def layers(artifacts: Artifacts) -> Part | None:
    """Show the kernels and embeddings of every model whose file was looked into."""
    blocks: list[Block] = []
    for name, model in only(artifacts, Model).items():
        if model.stored:
            rows = [_row(layer) for layer in model.stored]
            blocks += [
                Note(_summed(name, model.stored)),
                Table(f"Layers in the file of {name}", HEADINGS, rows, texts=2),
            ]
    return Part("Layers", blocks) if blocks else None


def _summed(name: str, stored: list[StoredLayer]) -> str:
    weights = sum(layer.weights for layer in stored)
    bits = sum(layer.bits * layer.weights for layer in stored) / weights
    zeros = sum(layer.zeros * layer.weights for layer in stored) / weights
    return (
        f"{name}: {weights:,} weights in kernels and embeddings, {bits:.1f} bits each, {percent(zeros)} of them zero."
    )


def _row(layer: StoredLayer) -> list[str]:
    return [
        layer.layer,
        layer.type,
        count(layer.bits),
        count(layer.weights),
        percent(layer.zeros),
        count(layer.values),
    ]
