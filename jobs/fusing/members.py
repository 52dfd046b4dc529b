"""The members of a fusion in the process that fuses them: their weights, and what they answer on validation rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import FinalError
from jobs.artifacts import Dataset, Model, Rewrite
from jobs.data.encode import encoded
from jobs.data.feed import Feed
from jobs.fusing.methods.method import Fusing
from jobs.fusing.settling import settle
from jobs.models.model import ModelSpec, build, load_weights, read_weights
from jobs.runtime.runner import softmax

BATCH = 256


class Members:
    """Models by step, checked against each other; what they are asked goes through `engine`."""

    def __init__(self, work: Fusing, engine: Any) -> None:
        self.engine, self.dataset = engine, Dataset.load(work.data)
        self.names = list(work.members)
        self.models = [Model.load(folder) for folder in work.members.values()]
        self.paths: list[Path] = [folder.fetch() for folder in work.members.values()]
        self._check()
        self.specs = [ModelSpec.model_validate(model.spec) for model in self.models]
        self.weights = [read_weights((path / "weights.npz").read_bytes(), f"{path}/weights.npz") for path in self.paths]

    def __len__(self) -> int:
        return len(self.models)

    def _check(self) -> None:
        """Refuse members of other classes than the data's, and members that prepare rows otherwise than the first."""
        first = self._preparation(0)
        for number, (name, model) in enumerate(zip(self.names, self.models, strict=True)):
            if model.classes != self.dataset.classes:
                raise FinalError(
                    f"'{name}' and the data", f"have other classes: {model.classes}", str(self.dataset.classes)
                )
            if self._preparation(number) != first:
                found = "prepare rows in different ways, such as with other vocabularies, and one file has one input"
                remedy = "train members with one vocabulary and length, or distill each"
                raise FinalError(f"'{name}' and '{self.names[0]}'", found, remedy=remedy)

    def _preparation(self, number: int) -> tuple[str, ...]:
        preprocess, path = self.models[number].preprocess, self.paths[number]
        files = [(path / name).read_bytes().hex() for name in preprocess.files()]
        return json.dumps(preprocess.model_dump(mode="json"), sort_keys=True), *files

    def require_one_spec(self) -> None:
        """Refuse members whose weights differ in names or shapes."""
        shapes = [{name: value.shape for name, value in own.items()} for own in self.weights]
        for name, own in zip(self.names, shapes, strict=True):
            if own != shapes[0]:
                odd = sorted(set(own.items()) ^ set(shapes[0].items()))[0][0]
                raise FinalError(
                    f"'{name}' and '{self.names[0]}'", f"have no common architecture: weight {odd} differs",
                    "members of one spec", "average their answers instead",
                )  # fmt: skip

    @property
    def labels(self) -> NDArray[np.int32]:
        """The labels of the validation rows: `int32[rows]`."""
        labels: NDArray[np.int32] = np.asarray(self.rows("validation").gather(np.arange(self.count))[1], np.int32)
        return labels

    @property
    def count(self) -> int:
        """How many validation rows there are."""
        return len(self.rows("validation"))

    def rows(self, split: str) -> Any:
        """Return the rows of a split, prepared as all members take them."""
        return encoded(self.dataset, self.models[0].preprocess, split, self.paths[0])

    def built(self, spec: ModelSpec, weights: Mapping[str, Any], rewrites: Sequence[Rewrite]) -> Any:
        """Return the Keras model of `spec` and `rewrites` with `weights`."""
        preprocess, classes = self.models[0].preprocess, len(self.dataset.classes)
        with self.engine.scope():
            model = build(spec, preprocess, classes, folder=self.paths[0], rewrites=rewrites)
            load_weights(model, weights, "what is fused")
        return model

    def answers(self, spec: ModelSpec, weights: Mapping[str, Any], rewrites: Sequence[Rewrite]) -> NDArray[np.float32]:
        """Return the logits of every validation row: `float32[rows, classes]`."""
        feed = Feed(self.rows("validation"), BATCH, None)
        logits: NDArray[np.float32] = self.engine.predict(self.built(spec, weights, rewrites), feed)
        return logits

    @cached_property
    def logits(self) -> list[NDArray[np.float32]]:
        """What each member answers."""
        rewrites = [model.rewrites for model in self.models]
        return [self.answers(*each) for each in zip(self.specs, self.weights, rewrites, strict=True)]

    def scaled(self) -> NDArray[np.float32]:
        """Return each member's logits over its own temperature: `float32[members, rows, classes]`."""
        return np.stack([z / np.float32(m.temperature) for z, m in zip(self.logits, self.models, strict=True)])

    def averaged(self, chosen: Sequence[int]) -> dict[str, Any]:
        """Return the mean weights of the `chosen` members of one spec, their batch normalisation settled anew."""
        names, own = self.weights[0], [self.weights[number] for number in chosen]
        mean = {name: np.mean([each[name] for each in own], axis=0, dtype=np.float64) for name in names}
        weights = {name: value.astype(names[name].dtype) for name, value in mean.items()}
        spec = self.specs[0]
        if len(chosen) == 1 or not spec.backbone.normalises_batches:
            return weights
        return settle(self.built(spec, weights, self.models[0].rewrites), self.rows("train"))

    def merit(self, number: int) -> tuple[float, float]:
        """Return what is the larger the better of a member: accuracy, then likelihood, of validation rows."""
        accuracy, loss = measured(self.logits[number], self.labels)
        return accuracy, -loss

    def merit_of(self, weights: Mapping[str, Any]) -> tuple[float, float]:
        """Return the same of other weights of the first member's layers."""
        logits = self.answers(self.specs[0], weights, self.models[0].rewrites)
        accuracy, loss = measured(logits, self.labels)
        return accuracy, -loss


def measured(logits: NDArray[Any], labels: NDArray[Any], temperature: float = 1.0) -> tuple[float, float]:
    """Return accuracy and mean cross-entropy of `logits` over `temperature`."""
    likely = softmax(logits.astype(np.float64) / temperature)[np.arange(len(labels)), labels]
    return float((logits.argmax(1) == labels).mean()), float(-np.log(np.maximum(likely, 1e-12)).mean())
