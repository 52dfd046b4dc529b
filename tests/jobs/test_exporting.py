"""Variants of a file, measured and chosen among, and exports beside it, each verified on real rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.compressing import CompressWork
from jobs.convert import weight_bytes_by_type
from jobs.data.encode import encoded
from jobs.exporting.export import export
from jobs.exporting.forms import Variant
from jobs.exporting.variants import BETTER
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.runtime.classifier import Classifier
from jobs.strategies import Single
from jobs.techniques import Technique
from jobs.training import TrainWork
from pipelines.language.mistakes import DefinitionError
from pipelines.load import load
from tests.rig import TINY, MemoryKeeper

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def model(digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("model")
    out = Folder.parse(str(root / "model"))
    spec = ModelSpec.model_validate({"backbone": TINY | {"width": 8}})
    recipe = TrainRecipe(epochs=3, learning_rate=0.01)
    TrainWork(spec, recipe, Single(), digits, out)(Single().engine(), MemoryKeeper(root))
    return out


def test_the_smallest_file_is_served_and_all_that_were_measured_are_kept(
    digits: Folder, model: Folder, tmp_path: Path
) -> None:
    out, keeper = Folder.parse(str(tmp_path / "out")), MemoryKeeper(tmp_path)
    chain = [Technique.choose({"kind": "prune", "sparsity": 0.5, "epochs": 1})]
    work = CompressWork(chain, Single(), model, digits, out, "smallest", ("saved_model", "onnx"))
    work(Single().engine(), keeper)
    made = Model.load(out)
    by_name = {variant.name: variant for variant in made.variants}
    assert list(by_name) == ["float32", "float16", "dynamic", "int8"]
    assert [v.name for v in made.variants if v.chosen] == [min(made.variants, key=lambda v: v.size_bytes).name]
    assert made.size_bytes == min(variant.size_bytes for variant in made.variants) < by_name["float32"].size_bytes
    assert by_name["float32"].agreement == 1.0
    assert by_name["int8"].agreement > 0.9
    assert by_name["float16"].accuracy == pytest.approx(by_name["float32"].accuracy, abs=0.02)
    assert all(variant.rows == made_rows(digits) and 0 < variant.p50_ms <= variant.p99_ms for variant in made.variants)
    assert "int8" in weight_bytes_by_type((out.path / made.served).read_bytes(), 1024)
    assert {finding.technique for finding in made.findings} == {"prune", "quantize", "convert"}
    check_exports(made, out, digits)


def made_rows(digits: Folder) -> int:
    return Dataset.load(digits).rows["validation"]


def check_exports(made: Model, out: Folder, digits: Folder) -> None:
    import onnxruntime
    import tensorflow as tf

    assert [(e.form, e.path, e.rows, e.warning) for e in made.exports] == [
        ("saved_model", "saved_model", 64, ""),
        ("onnx", "model.onnx", 64, "tf2onnx has no maintainer: experimental"),
    ]
    assert all(found.difference < 1e-3 for found in made.exports)
    rows = encoded(Dataset.load(digits), made.preprocess, "validation", out.path)
    x = rows.gather(np.arange(100))[0].astype(np.float32)
    loaded = tf.saved_model.load(str(out.path / "saved_model"))
    first = loaded.signatures["serving_default"](image=tf.constant(x))["logits"].numpy()
    session = onnxruntime.InferenceSession(str(out.path / "model.onnx"), providers=["CPUExecutionProvider"])
    second = session.run(None, {session.get_inputs()[0].name: x})[0]
    assert np.abs(first - second).max() < 1e-3
    served = Classifier(made, out.path).runner.logits(x)
    assert (served.argmax(1) == first.argmax(1)).mean() > 0.9


WORDS = {"vocabulary": 300, "length": 16}
OTHERS: dict[str, dict[str, Any]] = {
    "text_cnn": WORDS | {"kind": "text_cnn", "width": 8, "filters": 8},
    "fusion": {"kind": "fusion", "image": TINY, "text": WORDS | {"kind": "text_cnn", "width": 8, "filters": 8}},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(OTHERS))
def test_models_of_texts_and_of_pairs_are_exported_too(kind: str, texts: Folder, pairs: Folder, tmp_path: Path) -> None:
    data, out = pairs if kind == "fusion" else texts, Folder.parse(str(tmp_path / "out"))
    trained = Folder.parse(str(tmp_path / "trained"))
    spec = ModelSpec.model_validate({"backbone": OTHERS[kind]})
    TrainWork(spec, TrainRecipe(epochs=1), Single(), data, trained)(Single().engine(), MemoryKeeper(tmp_path))
    work = CompressWork([], Single(), trained, data, out, "fastest", ("saved_model", "onnx"))
    work(Single().engine(), MemoryKeeper(tmp_path))
    made = Model.load(out)
    assert [found.form for found in made.exports] == ["saved_model", "onnx"]
    assert all(found.difference < 1e-3 for found in made.exports)
    assert len(made.variants) == 4


def test_what_onnx_cannot_hold_is_refused(digits: Folder, model: Folder, tmp_path: Path) -> None:
    import tf_keras as keras

    given = keras.Input((8, 8, 1), name="image")
    wavy = keras.Model(given, keras.layers.Dense(3)(keras.layers.Activation("gelu")(keras.layers.Flatten()(given))))
    rows = encoded(Dataset.load(digits), Model.load(model).preprocess, "validation", model.path)
    with pytest.raises(StepError, match=r"^the onnx file: has an operator that ONNX has not \(.*Erfc.*leave onnx out"):
        export("onnx", wavy, rows, tmp_path)


def variant(name: str, accuracy: float, size_bytes: int, p50_ms: float) -> Variant:
    measured = {"accuracy": accuracy, "size_bytes": size_bytes, "p50_ms": p50_ms, "p99_ms": 9.0}
    return Variant.model_validate({"name": name, "agreement": 1.0, "rows": 10, "gzip_bytes": 1} | measured)


@pytest.mark.parametrize(("choose", "best"), [("fastest", "b"), ("smallest", "c"), ("most_accurate", "a")])
def test_what_is_best_and_of_equal_ones_the_smaller(choose: str, best: str) -> None:
    found = [
        variant("d", 0.9, 40, 2.0),
        variant("a", 0.9, 30, 2.0),
        variant("b", 0.8, 20, 1.0),
        variant("c", 0.7, 10, 3),
    ]
    assert min(found, key=BETTER[choose]).name == best


def test_an_export_that_answers_otherwise_is_refused(digits: Folder, model: Folder, tmp_path: Path) -> None:
    import tensorflow as tf
    import tf_keras as keras

    class Moody(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x + (1.0 if tf.inside_function() else 0.0)

    given = keras.Input((8, 8, 1), name="image")
    moody = keras.Model(given, keras.layers.Dense(3)(keras.layers.Flatten()(Moody()(given))))
    rows = encoded(Dataset.load(digits), Model.load(model).preprocess, "validation", model.path)
    with pytest.raises(StepError, match=r"^the saved_model file: answers otherwise: logits differ by "):
        export("saved_model", moody, rows, tmp_path)


DEFINITION = """
name: forms
steps:
  data: {{job: dataset, source: {{kind: digits}}}}
  model: {{job: train, data: data, model: {{backbone: {{kind: resnet, depth: 8}}}}}}
  small: {{job: compress, model: model, data: data, {asked}}}
"""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("techniques: []", "is empty, and nothing else is asked for; name a technique, variant or exports"),
        (
            "variant: fastest, techniques: [{kind: quantize}]",
            "makes its own files of the model, and the chain makes another;",
        ),
        ("variant: best", "steps.small.variant"),
    ],
)
def test_forms_that_cannot_be_made_are_refused_when_a_definition_is_read(asked: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "forms.yaml").write_text(DEFINITION.format(asked=asked))
    with pytest.raises(DefinitionError, match=said):
        load(tmp_path / "forms.yaml", {})
