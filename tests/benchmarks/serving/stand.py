"""What the benchmarks of serving share: two small models, made once, and the servers of one of them, which stay up."""

from __future__ import annotations

import atexit
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.artifacts import Model
from jobs.runtime.classifier import golden_rows
from tests.benchmarks.finished import artifact
from tests.benchmarks.pictures import write_table
from tests.benchmarks.processes import python
from tests.benchmarks.serving.load import Asked
from tests.benchmarks.serving.servers import espalier, reference, settings_of

ROWS = {"train": 640, "validation": 128}
RESNET = {"kind": "resnet", "depth": 20}
WORDS = 64
TEXT = {"kind": "text_cnn", "length": WORDS}


def image_model(work: Path) -> Model:
    """Return ResNet-20 on images of 32×32, trained for an epoch and quantized to int8; made once below `work`."""
    if not (work / "serving.parquet").exists():
        write_table(work / "serving.parquet", ROWS)
    table = str(work / "serving.parquet")
    source = {"kind": "table", "path": table, "image": "image", "label": "label", "split": "split"}
    return _made(work, "serving-images", {"job": "dataset", "source": source, "split": {"test": 0}}, RESNET)


def text_model(work: Path) -> Model:
    """Return a text_cnn for 64 tokens, trained for an epoch on the docstrings of Python's library, in int8."""
    return _made(work, "serving-texts", {"job": "dataset", "source": {"kind": "docstrings"}}, TEXT)


def _made(work: Path, name: str, data: dict[str, Any], backbone: dict[str, Any]) -> Model:
    train = {"job": "train", "data": "data", "model": {"backbone": backbone}, "epochs": 1}
    small = {
        "job": "compress",
        "model": "teacher",
        "data": "data",
        "techniques": [{"kind": "quantize", "scheme": "int8"}],
    }
    file = work / f"{name}.yaml"
    file.write_text(json.dumps({"name": name, "steps": {"data": data, "teacher": train, "small": small}}))
    python("-m", "pipelines", "run", str(file), "--store", str(work / name))
    return artifact(work / name, name, "small", Model)


@dataclass
class Stand:
    """Servers that are up, by name: each is started when it is first asked for, and all end with the process."""

    _up: dict[str, str] = field(default_factory=dict)
    _held: ExitStack = field(default_factory=ExitStack)

    def url(self, name: str, start: Callable[[], AbstractContextManager[str]]) -> str:
        """Return where the server of that name answers."""
        if name not in self._up:
            self._up[name] = self._held.enter_context(start())
        return self._up[name]

    def end(self) -> None:
        """End all servers."""
        self._up.clear()
        self._held.close()


STAND = Stand()
atexit.register(STAND.end)


class Images:
    """The image model with our server and the references, and the same question to each."""

    def __init__(self, work: Path) -> None:
        self.model = image_model(work)
        row = golden_rows(self.model.folder.fetch())[0]
        assert isinstance(row, bytes)
        self.image = row

    def ours(self) -> str:
        """Return our server's URL."""
        return STAND.url("espalier", lambda: espalier(self.model))

    def other(self, module: str) -> str:
        """Return the URL of a reference."""
        return STAND.url(module, lambda: reference(module, settings_of(self.model)))

    def asked(self) -> Asked:
        """Return the request for one image's class, of ours."""
        return Asked(f"{self.ours()}/v1/classify", self.image, "image/png")

    def asked_of(self, module: str) -> Asked:
        """Return the same, of a reference."""
        return Asked(f"{self.other(module)}/classify", self.image, "image/png")
