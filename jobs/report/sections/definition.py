"""What was asked of each step, as far as its artifact tells, and what the step made."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import yaml

from jobs.artifacts import Artifact, Dataset, Endpoint, Model, Report, Scores
from jobs.report.blocks import Block, Code, Table
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import count, counted, item, percent


@section(place=20)
def definition(artifacts: Artifacts) -> Part:
    """Show the steps, and the spec, chain and strategy of each model as YAML."""
    rows = [[name, type(artifact).__name__, brief(artifact)] for name, artifact in artifacts.items()]
    blocks: list[Block] = [Table("Steps and what they made", ("Step", "Made", "In brief"), rows, texts=3)]
    blocks += [Code(name, _yaml(_asked(model))) for name, model in only(artifacts, Model).items()]
    return Part("Definition", blocks)


@singledispatch
def brief(artifact: Artifact) -> str:
    """Say in a few words what an artifact is; a new type of artifact may register its own words."""
    return ""


@brief.register
def _(artifact: Dataset) -> str:
    rows = counted(sum(artifact.rows.values()), item(artifact.modality), f"{item(artifact.modality)}s")
    return f"{rows} of {counted(len(artifact.classes), 'class', 'classes')}"


@brief.register
def _(artifact: Model) -> str:
    backbone = artifact.spec.get("backbone", {}).get("kind", "model")
    chain = "".join(f" → {link.get('kind')}" for link in artifact.chain)
    return f"{backbone}{chain}, {count(artifact.parameters)} parameters, {count(artifact.size_bytes)} bytes served"


@brief.register
def _(artifact: Report) -> str:
    return f"judged {', '.join(artifact.evaluations)}" if artifact.evaluations else artifact.title


@brief.register
def _(artifact: Scores) -> str:
    words = f"{counted(artifact.rows, 'row', 'rows')} scored at {artifact.rows_per_second:,.0f} a second"
    refused = f", {counted(artifact.rejected_rows, 'row', 'rows')} left out" if artifact.rejected_rows else ""
    return words + refused + (f", accuracy {percent(artifact.accuracy)}" if artifact.accuracy is not None else "")


@brief.register
def _(artifact: Endpoint) -> str:
    return f"{artifact.application} at {artifact.url}"


def _asked(model: Model) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": model.spec, "preprocess": model.preprocess.model_dump(mode="json")}
    if model.recipe:
        asked["recipe"] = model.recipe
    if model.chain:
        asked["techniques"] = model.chain
    if model.strategy:
        asked["strategy"] = model.strategy
    return asked


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
