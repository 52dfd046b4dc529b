"""`espalier import-hub`: a Hugging Face BERT as a pair of TensorFlow Hub SavedModels."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cluster.environment import variables
from cluster.errors import RequestError, StepError
from cluster.folder import Folder
from pipelines.commands.app import app, example
from pipelines.console import say


@app.command("import-hub", epilog=example("espalier import-hub models/all-MiniLM-L6-v2 modules/minilm --length 64"))
def import_hub(
    source: Annotated[str, typer.Argument(metavar="HF_FOLDER", help="config.json, model.safetensors, vocab.txt")],
    target: Annotated[str, typer.Argument(metavar="OUT", help="A new folder or URI: gets encoder and preprocess")],
    length: Annotated[int, typer.Option(min=4, max=4096, help="Tokens a text is cut or padded to")] = 128,
) -> None:
    """Write HF_FOLDER, a checkpoint of the BERT family, to OUT/encoder and OUT/preprocess."""
    out = Folder.parse(target)
    if out.names():
        raise RequestError(str(out), "is not empty", "a new folder")
    facts = _in_a_process_of_its_own(str(Folder.parse(source)), out, length)
    say(f"{facts['layers']} layers of width {facts['width']}, {facts['vocabulary']:,} word pieces, length {length}")
    say(f"backbone: {{kind: hub, reads: text, module: {out}/encoder, preprocessor: {out}/preprocess}}")


def _in_a_process_of_its_own(source: str, out: Folder, length: int) -> dict[str, int]:
    """Write the pair where TensorFlow may be loaded; an error raised there is raised here as it is."""
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    from jobs.models.saved_model.bert_pair import fill_pair

    os.environ.update(variables())
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        try:
            return process.submit(fill_pair, source, out, length).result()
        except BrokenProcessPool:
            raise StepError("import-hub", "its process died", remedy="has the machine enough memory?") from None
