"""Where a model answers, which file answers there, and the first answer it gave."""

from __future__ import annotations

import json
from typing import Any

from jobs.artifacts import Endpoint, Model
from jobs.report.blocks import Block, Code, Facts, Heading
from jobs.report.section import Artifacts, Part, only, section


@section(place=70)
def endpoint(artifacts: Artifacts) -> Part | None:
    """Show every endpoint, and which model's file it serves."""
    blocks: list[Block] = []
    for name, served in only(artifacts, Endpoint).items():
        facts = [
            ("Address", served.url),
            ("Application", served.application),
            ("File's SHA-256", served.model_sha256),
            ("Served file of", _owners(served, artifacts) or "no model on this page"),
        ]
        if served.reject_below is not None:
            facts.append(("No label under probability", f"{served.reject_below:.4g}"))
        blocks += [Heading(name), Facts(facts), Code("First request", _json(served.request))]
        blocks.append(Code("Its answer", _json(served.answer)))
    return Part("Endpoint", blocks) if blocks else None


def _owners(served: Endpoint, artifacts: Artifacts) -> str:
    models = only(artifacts, Model).items()
    return ", ".join(name for name, model in models if model.folder.sha256(model.served) == served.model_sha256)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
