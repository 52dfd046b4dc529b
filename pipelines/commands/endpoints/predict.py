"""`espalier predict`: asks a Model artifact or a running endpoint about a text, an image, or an image with its text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.errors import RequestError
from jobs.data.files import read_at_most
from jobs.data.rows import LARGEST_FILE, Pair
from pipelines.commands.app import app, example
from pipelines.find import artifact_at

if TYPE_CHECKING:
    from jobs.runtime.classifier import Raw

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif")


@app.command(epilog=example('espalier predict http://127.0.0.1:8000 photo.jpg --text "red shoes"'))
def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A Model artifact's folder, or the URL of an endpoint")],
    item: Annotated[str, typer.Argument(metavar="ITEM", help="A text, or the path of an image or text file")],
    text: Annotated[str | None, typer.Option(help="The text that belongs to the image, for a model of both")] = None,
    key: Annotated[
        str | None, typer.Option(envvar="ESPALIER_KEY", help="Key of the endpoint; better in ESPALIER_KEY")
    ] = None,
) -> None:
    """Ask MODEL about ITEM, and print labels and probabilities as JSON."""
    if model.startswith(("http://", "https://")):
        from jobs.serving.application import ask

        answer: Any = ask(model.rstrip("/"), _raw(item, text, None), key)
        print(json.dumps(answer, indent=1))
        return
    print(json.dumps({"predictions": _offline(model, item, text)}, indent=1))


def _offline(folder: str, item: str, text: str | None) -> list[dict[str, Any]]:
    from jobs.artifacts import Model
    from jobs.data.rows import BadRow
    from jobs.runtime.classifier import Classifier

    artifact = artifact_at(folder, Model)
    raw = _raw(item, text, artifact.preprocess.modality)
    try:
        return Classifier(artifact, artifact.folder.fetch()).classify([raw])
    except BadRow as error:
        raise RequestError(item[:80], str(error)) from None


def _raw(item: str, text: str | None, modality: str | None) -> Raw:
    """Return what is asked about: the file at `item` with its text if there is one, or what `item` is by itself."""
    if text is None:
        return _alone(item, modality)
    image = _alone(item, "image")
    assert isinstance(image, bytes), "what is asked of an image model is its bytes"
    return Pair(image, text)


def _alone(item: str, modality: str | None) -> str | bytes:
    """Return a file's bytes, or its text for a text model, or the text itself."""
    path = Path(item)
    try:
        data = read_at_most(item, LARGEST_FILE) if path.is_file() else None
    except OSError:  # a long text is no path
        data = None
    if data is None and path.suffix.lower() in IMAGES:
        raise RequestError(item[:80], "is no file", "the path of an image, or a text")
    if data is None:
        if modality in ("image", "image_text"):
            raise RequestError(item[:80], "is no file", "the path of an image")
        return item
    is_text = modality == "text" or (modality is None and path.suffix.lower() in (".txt", ".md"))
    return data.decode(errors="surrogateescape") if is_text else data
