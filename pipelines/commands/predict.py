"""`espalier predict`: asks a Model artifact or a running endpoint about one text, image or file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.errors import RequestError
from pipelines.commands.app import app, example
from pipelines.find import artifact_at

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif")


@app.command(epilog=example('espalier predict http://127.0.0.1:8000/classifier "shares fell sharply"'))
def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A Model artifact's folder, or the URL of an endpoint")],
    item: Annotated[str, typer.Argument(metavar="ITEM", help="A text, or the path of an image or text file")],
) -> None:
    """Ask MODEL about ITEM, and print labels and probabilities as JSON."""
    if model.startswith(("http://", "https://")):
        from jobs.serving.application import ask

        answer: Any = ask(model.rstrip("/"), _raw(item, None))
        print(json.dumps(answer, indent=1))
        return
    print(json.dumps({"predictions": _offline(model, item)}, indent=1))


def _offline(folder: str, item: str) -> list[dict[str, Any]]:
    from jobs.artifacts import Model
    from jobs.data.rows import BadRow
    from jobs.runtime.classifier import Classifier

    artifact = artifact_at(folder, Model)
    raw = _raw(item, artifact.preprocess.model_dump()["kind"])
    try:
        return Classifier(artifact, artifact.folder.fetch()).classify([raw])
    except BadRow as error:
        raise RequestError(item[:80], str(error)) from None


def _raw(item: str, modality: str | None) -> str | bytes:
    """Return what is asked about: a file's bytes, or its text for a text model, or the text itself."""
    path = Path(item)
    try:
        data = path.read_bytes() if path.is_file() else None
    except OSError:  # a long text is no path
        data = None
    if data is None and path.suffix.lower() in IMAGES:
        raise RequestError(item[:80], "is no file", "the path of an image, or a text")
    if data is None:
        if modality == "image":
            raise RequestError(item[:80], "is no file", "the path of an image")
        return item
    is_text = modality == "text" or (modality is None and path.suffix.lower() in (".txt", ".md"))
    return data.decode(errors="replace") if is_text else data
