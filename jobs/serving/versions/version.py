"""One version of a model in a replica: its files checked, its interpreters, and its answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import RequestError, StepError
from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.data.preprocess import ImageAndText, ImagePixels, Preprocess, WordPieces
from jobs.data.rows import BadRow, Pair
from jobs.runtime.classifier import Classifier, Raw, golden_rows
from jobs.runtime.inputs import Inputs, each, joined
from jobs.runtime.runner import softmax
from jobs.serving.limits import Limits
from jobs.serving.plan import SHOWN, Asked
from jobs.serving.versions.batching import Lane

INLINE_BYTES = 16 * 2**10  # of raw items: what they can unpack to is prepared within milliseconds
Told = Callable[[str, int], None]


class Version:
    """Answers with one Model artifact. `told` hears its name and how many rows ran together."""

    def __init__(
        self, asked: Asked, limits: Callable[[], Limits], threads: int, told: Told = lambda version, rows: None
    ) -> None:
        begun = time.perf_counter()
        place = Folder.parse(asked.folder)
        model = Model.load(place)
        path = place.fetch()
        for name, sha256 in {model.served: asked.sha256, **asked.files}.items():
            _verify(place, path, name, sha256)
        self.asked, self.name, self._limits, self._told = asked, asked.version, limits, told
        self._file = path / model.served
        self.classifier = Classifier(model, path, reject_below=asked.reject_below)
        self.golden = golden_rows(path)
        self.threads, self.lane = threads, self._laned(threads)
        self.tensors = tensors(model.preprocess)
        self._facts = _facts(asked, model)
        self.load_seconds = time.perf_counter() - begun

    def _laned(self, threads: int) -> Lane:
        sample = self.classifier.prepared(self.golden)
        return Lane(self._file, sample, threads, lambda rows: self._told(self.name, rows))

    def run_by(self, threads: int) -> None:
        """Have so many threads run the file. It blocks; what waits for the threads before is answered by them."""
        if threads != self.threads:
            before, self.lane = self.lane, self._laned(threads)
            self.threads = threads
            before.close()

    @property
    def limits(self) -> Limits:
        """What a request may ask for now."""
        return self._limits()

    @property
    def card(self) -> dict[str, Any]:
        """What is known of the model: how it was compressed, what was promised and measured, its limits now."""
        return {
            **self._facts,
            "limits": self.limits.model_dump(mode="json"),
            "row_ms": round(self.lane.row_seconds * 1000, 4),
            "rows_together": [*self.lane.sizes, 1],
        }

    async def probabilities(self, rows: Inputs) -> NDArray[np.float32]:
        """Return `float32[rows, classes]` of prepared rows."""
        return softmax(await self.lane.logits(rows) / np.float32(self.classifier.model.temperature))

    async def prepare(self, items: list[Raw]) -> tuple[Inputs | None, list[str | None]]:
        """Return the rows of the items that can be prepared, and for each item what is wrong with it."""
        if sum(map(_size, items)) <= INLINE_BYTES:
            return self._prepare(items)
        return await asyncio.to_thread(self._prepare, items)

    def _prepare(self, items: list[Raw]) -> tuple[Inputs | None, list[str | None]]:
        try:
            for item in items:
                self._check(item)
            return self.classifier.prepared(items), [None] * len(items)
        except (BadRow, RequestError) as error:
            if len(items) == 1:
                return None, [str(error)]
        alone = [self._prepare([item]) for item in items]
        good = [rows for rows, _ in alone if rows is not None]
        return joined(good) if good else None, [wrong[0] for _, wrong in alone]

    def _check(self, item: Raw) -> None:
        text = item.text if isinstance(item, Pair) else item
        if isinstance(text, str) and len(text) > self.limits.text_characters:
            raise BadRow(f"has {len(text)} characters, more than {self.limits.text_characters}")

    def close(self) -> None:
        """Let its threads end."""
        self.lane.close()


def tensors(preprocess: Preprocess) -> dict[str, tuple[str, list[int]]]:
    """Return (datatype, shape) of each input by its name, as the Open Inference Protocol has them; -1 is any number.

    Images are pixels of the size the model reads. Texts are texts: tokens are the server's business.
    """
    if isinstance(preprocess, ImageAndText):
        return {name: tensor for part in preprocess.parts() for name, tensor in tensors(part).items()}
    if isinstance(preprocess, ImagePixels):
        return {"image": ("UINT8", [-1, preprocess.height, preprocess.width, preprocess.channels])}
    assert isinstance(preprocess, WordPieces), f"no tensor for {preprocess!r}"
    return {"text": ("BYTES", [-1])}


def _verify(place: Folder, path: Path, name: str, sha256: str) -> None:
    found = Folder.parse(str(path)).sha256(name)
    if found != sha256:
        raise StepError(f"{place}/{name}", f"has SHA-256 {found[:SHOWN]}…", f"{sha256[:SHOWN]}…")


def _facts(asked: Asked, model: Model) -> dict[str, Any]:
    facts = model.model_dump(
        mode="json",
        include={"classes", "preprocess", "chain", "parameters", "size_bytes", "temperature", "findings"},
    )
    return {
        "version": asked.version,
        "sha256": asked.sha256,
        **facts,
        "backbone": model.spec.get("backbone"),
        "reject_below": asked.reject_below,
    }


def _size(item: Raw) -> int:
    return len(item.image) + len(item.text) if isinstance(item, Pair) else len(item)


def single(rows: Inputs, index: int) -> Inputs:
    """Return one row as a batch."""
    return each(rows, lambda part: part[index : index + 1])
