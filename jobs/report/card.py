"""A model's card: README.md with the front matter that Hugging Face reads, made of what the artifact itself says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.artifacts import Model

NAME = "README.md"
SHOWN = 50  # classes, findings
TASKS = {"image": "image-classification", "text": "text-classification"}  # of both, Hugging Face has no task


def card(model: Model) -> str:
    """Return the card of a model: nothing in it was measured otherwise than the artifact says."""
    return "\n".join([*_front(model), *_body(model), ""])


def _front(model: Model) -> Iterator[str]:
    import yaml

    facts: dict[str, Any] = {"library_name": "litert" if model.runtime == "litert" else "tensorflow"}
    if task := TASKS.get(model.preprocess.modality):
        facts["pipeline_tag"] = task
    techniques = [str(step["kind"]) for step in model.chain if "kind" in step]
    facts["tags"] = ["espalier", _backbone(model), *dict.fromkeys(techniques)]
    facts["metrics"] = ["accuracy"]
    yield "---"
    yield yaml.safe_dump(facts, sort_keys=False, allow_unicode=True).rstrip()
    yield "---"


def _backbone(model: Model) -> str:
    return str(model.spec.get("backbone", {}).get("kind", "classifier"))


def _body(model: Model) -> Iterator[str]:
    modality = model.preprocess.modality.replace("_", " with ")
    yield f"# Classifier of {len(model.classes)} classes, {modality}"
    yield ""
    size = f"{model.parameters:,} parameters, `{model.served}` of {model.size_bytes:,} bytes"
    macs = f", {model.macs:,} multiplications a row" if model.macs is not None else ""
    yield f"Backbone `{_backbone(model)}`, {size}{macs}. Made by Espalier: weights and facts, no code and no pickle."
    yield from _section("Classes", [_listed(model.classes)])
    yield from _section("Training", _training(model))
    yield from _section("Compression", _compression(model))
    yield from _section("Use", ["```", "espalier predict FOLDER ITEM", "espalier serve FOLDER", "```"])
    limits = [
        "Single labels only. Probabilities are those of the logits divided by the temperature "
        f"{model.temperature:.4g}, fitted on validation rows. Rows unlike those it was trained on get a label too.",
    ]
    yield from _section("Limits", limits)


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield from ("", f"## {title}", *lines)


def _training(model: Model) -> list[str]:
    if not model.history:
        return []
    last = model.history[-1]
    strategy = model.strategy.get("kind")
    lines = [
        f"{len(model.history)} epochs; after the last, accuracy {last.validation_accuracy:.4f} and loss "
        f"{last.validation_loss:.4f} on validation rows, which choices were made by: judge it on rows that are new."
    ]
    return [*lines, *([f"Strategy `{strategy}`."] if strategy else [])]


def _compression(model: Model) -> list[str]:
    lines = []
    for step in model.chain:
        plain = {name: value for name, value in step.items() if isinstance(value, str | int | float)}
        kind = plain.pop("kind", "technique")
        lines.append(f"- `{kind}`: {', '.join(f'{name} {value}' for name, value in plain.items())}")
    broken = [finding for finding in model.findings if not finding.kept]
    lines += [f"- not kept: {found.what} {found.layer}, {found.measured}" for found in broken[:SHOWN]]
    return lines


def _listed(names: list[str]) -> str:
    more = f", … {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(f"`{name}`" for name in names[:SHOWN]) + more
