"""Opens files by the product's own doors, one after the other, in a process that may take little memory.

Told `[[door, path], …]` as JSON, it prints `[{said, bytes}, …]`: the error, and how far the process's peak grew over
what it held before.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ray.data  # noqa: F401  registers types whose values are pickles

import jobs.models  # noqa: F401  every backbone is registered
from cluster.errors import EspalierError
from jobs.artifacts import Model
from jobs.data.prepare import prepare
from jobs.kinds.dataset import DatasetJob
from jobs.models.model import ModelSpec, read_weights
from jobs.models.weights.reading import weights_in
from jobs.models.weights.shapes import LayerShape
from pipelines.find import artifact_at
from pipelines.load import load

ALLOWED = 1 << 30  # bytes of address space over what is mapped at the start
LAYERS = [LayerShape("dense", "logits", {"bias": (2,)})]


DEFINITION = """\
name: hostile
steps:
  data: {{job: dataset, source: {source}}}
  model: {{job: train, data: data, model: {{backbone: {backbone}}}}}
"""


def definition(source: str = "{kind: digits}", backbone: str = "{kind: resnet}") -> Callable[[Path], None]:
    """Return what loads a definition in which PATH stands for the file."""

    def loaded(path: Path) -> None:
        file = path.with_name("hostile.yaml")
        file.write_text(DEFINITION.format(source=source, backbone=backbone).replace("PATH", path.name))
        load(file)

    return loaded


def source(kind: str, **fields: Any) -> Callable[[Path], None]:
    """Return what makes a data set of a source of this kind."""

    def made(path: Path) -> None:
        given = {"job": "dataset", "source": {"kind": kind, "path": str(path), **fields}}
        with tempfile.TemporaryDirectory() as folder:
            prepare(DatasetJob.model_validate(given), Path(folder), lambda event: None)

    return made


def backbone(kind: str, field: str, **fields: Any) -> Callable[[Path], None]:
    """Return what fits the preprocessing of a backbone, for which it opens what `field` names."""

    def fitted(path: Path) -> None:
        from jobs.artifacts import Dataset

        spec = ModelSpec.model_validate({"backbone": {"kind": kind, field: str(path), **fields}})
        texts = Dataset(modality="text", classes=["a", "b"], rows={"train": 2})
        with tempfile.TemporaryDirectory() as folder:
            prepared = spec.backbone.preprocess(texts, Path(folder))
            spec.backbone.pretrained(prepared)

    return fitted


DOORS: dict[str, Callable[[Path], Any]] = {
    "definition of a model": definition(backbone="{kind: resnet, weights: PATH}"),
    "definition of a table": definition(source="{kind: table, path: PATH, text: text}"),
    "weights": lambda path: weights_in(str(path), LAYERS),
    "model": lambda path: read_weights(path.read_bytes(), str(path)),
    "artifact": lambda path: artifact_at(str(path), Model),
    "table": source("table", text="text"),
    "table as parquet": source("table", text="text", format="parquet"),
    "images": source("images"),
    "huggingface": source("huggingface", text="text"),
    "tfrecord": source("tfrecord", text="text"),
    "hub": backbone("hub", "module", reads="text"),
    "bert": backbone("bert", "weights"),
}


def main(asked: list[tuple[str, str]]) -> None:
    """Open each, bounded."""
    np.zeros(1 << 20)  # what comes with the first array is not the file's
    limit = _status("VmSize") + ALLOWED
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps([_opened(DOORS[door], Path(path)) for door, path in asked]))


def _opened(door: Callable[[Path], Any], path: Path) -> dict[str, Any]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts at what is held now
    before, said = _status("VmRSS"), ""
    try:
        door(path)
    except EspalierError as error:
        said = str(error)
    return {"said": said, "bytes": _status("VmHWM") - before}


def _status(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None, field
    return int(found[1]) * 1024


if __name__ == "__main__":
    main(json.loads(sys.stdin.read()))
