"""A technique, source, backbone, strategy and augmentation, each one class, are usable from YAML at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest
from pydantic import Field

from cluster.folder import Folder
from jobs.artifacts import Dataset, Finding, Model
from jobs.data.augment import Augment
from jobs.data.preparing import preprocess_of
from jobs.data.rows import Row
from jobs.data.sources import Source
from jobs.data.sources.source import Modality
from jobs.models import Backbone
from jobs.strategies import Strategy
from jobs.strategies.strategy import Engine
from jobs.techniques import Technique
from pipelines.language.mistakes import DefinitionError
from pipelines.load import load
from pipelines.schema import json_schema


class ToyStripes(Source):
    """Images of stripes, upright or lying."""

    kind: Literal["toy_stripes"] = "toy_stripes"
    count: Annotated[int, Field(ge=40)] = 80

    def modality(self) -> Modality:
        return "image"

    def digest(self, memo: Any) -> str:
        return f"toy stripes {self.count}"

    def rows(self) -> Iterator[Row]:
        for number in range(self.count):
            image = np.zeros((8, 8), np.uint8)
            image[number % 7] = 255
            yield Row(f"stripe {number}", image if number % 2 else image.T.copy(), "lying" if number % 2 else "upright")


class ToyLinear(Backbone):
    """The pixels themselves."""

    kind: Literal["toy_linear"] = "toy_linear"
    modality = "image"
    scale: Annotated[float, Field(gt=0)] = 1 / 255

    def preprocess(self, dataset: Dataset, folder: Path) -> Any:
        return preprocess_of(dataset)

    def features(self, inputs: Any, preprocess: Any, seed: int) -> Any:
        import tf_keras as keras

        return keras.layers.Flatten(name="flatten")(keras.layers.Rescaling(self.scale, name="scale")(inputs))


class ToyRound(Technique):
    """Lets the file's weights be float16."""

    kind: Literal["toy_round"] = "toy_round"
    shapes_file: ClassVar[bool] = True
    most_bytes: Annotated[int, Field(gt=0)] = 100_000

    def lower(self, converter: Any, context: Any) -> None:
        import tensorflow as tf

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    def promise(self, before: Any, after: Any, file: bytes | None) -> Iterator[Finding]:
        if file is not None:
            kept = len(file) <= self.most_bytes
            yield Finding(technique="toy_round", what="bytes", measured=str(len(file)), kept=kept)


class ToyAlone(Strategy):
    """One worker, called otherwise."""

    kind: Literal["toy_alone"] = "toy_alone"

    def engine(self) -> Engine:
        import tensorflow as tf

        from jobs.strategies.replicated.engine import Replicated

        return Replicated(tf.distribute.get_strategy(), workers=1, rank=0)


class ToyDim(Augment):
    """Darkens images."""

    kind: Literal["toy_dim"] = "toy_dim"
    modality = "image"
    most: Annotated[float, Field(ge=0, le=1)] = 0.2

    def apply(self, x: Any, draws: Any, special: Any) -> Any:
        return x * (1 - draws.between("by", 0.0, self.most))[:, None, None, None]


DEFINITION = """
name: toy
steps:
  data: {job: dataset, source: {kind: toy_stripes, count: 120}}
  model:
    job: train
    data: data
    model: {backbone: {kind: toy_linear}}
    epochs: 8
    learning_rate: 0.05
    augment: [{kind: toy_dim, most: 0.3}]
    strategy: {kind: toy_alone}
  small:
    job: compress
    model: model
    data: data
    techniques: [{kind: toy_round}]
    strategy: {kind: toy_alone}
  verdict: {job: evaluate, models: [model, small], data: data, require: {small: {accuracy: 0.7}}}
"""


def test_the_definition_language_and_its_schema_follow(tmp_path: Path) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text(DEFINITION)
    assert isinstance(load(file).steps["data"].source, ToyStripes)  # type: ignore[attr-defined]
    text = str(json_schema())
    assert all(kind in text for kind in ("toy_stripes", "toy_linear", "toy_round", "toy_alone", "toy_dim"))
    file.write_text(DEFINITION.replace("count: 120", "count: 12"))
    with pytest.raises(DefinitionError, match=r"toy\.yaml:4: steps\.data\.source\.count: 12 is not 40 or more"):
        load(file)
    file.write_text(DEFINITION.replace("kind: toy_round", "kind: toy_rond"))
    with pytest.raises(DefinitionError, match="did you mean 'toy_round'"):
        load(file)


@pytest.mark.cluster
def test_they_run_on_a_cluster(ray_cluster: None, tmp_path: Path) -> None:
    from cluster.resources import Resources
    from pipelines.plan import plan
    from pipelines.runner import Runner
    from pipelines.store import Store

    (tmp_path / "toy.yaml").write_text(DEFINITION)
    pipeline = load(tmp_path / "toy.yaml")
    planned = plan(pipeline, Store(Folder.parse(str(tmp_path / "runs"))))
    made = {"versions": {}, "commit": ""}
    outcome = Runner(pipeline, planned, Resources(3), lambda *event: None, made).run()
    assert outcome.done, outcome.errors
    assert isinstance(model := outcome.artifacts["small"], Model)
    assert [finding.technique for finding in model.findings] == ["toy_round", "convert"]
    assert model.recipe["augment"] == [{"kind": "toy_dim", "most": 0.3}]
