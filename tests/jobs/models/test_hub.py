"""The hub backbone, trained and judged: on a module nobody here wrote, and on others made with plain TensorFlow."""

from __future__ import annotations

import hashlib
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from cluster.errors import RequestError, StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.compressing import CompressWork
from jobs.judging.judge import judge
from jobs.models.hub import Hub
from jobs.models.model import ModelSpec, read_weights
from jobs.recipe import TrainRecipe
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.strategies import Single
from jobs.techniques import Technique
from jobs.training import TrainWork
from tests.jobs.models.modules import GUESSLANG, image_module, signature_module, sources
from tests.rig import MemoryKeeper

pytestmark = pytest.mark.training


def train(root: Path, data: Folder, backbone: dict[str, Any], epochs: int = 6) -> Folder:
    spec = ModelSpec.model_validate({"backbone": {"kind": "hub"} | backbone, "dropout": 0.1})
    out = Folder.parse(str(root / "model"))
    work = TrainWork(spec, TrainRecipe(epochs=epochs, batch_size=32, learning_rate=0.02), Single(), data, out)
    work(Single().engine(), MemoryKeeper(root))
    return out


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_module(tmp_path_factory.mktemp("modules") / "image")


def test_a_foreign_text_module_tells_code_from_prose_and_is_judged_but_not_served(code: Folder, tmp_path: Path) -> None:
    module = {"module": str(GUESSLANG), "reads": "text", "signature": "predict", "output": "logits"}
    out = train(tmp_path, code, module, epochs=20)
    model = Model.load(out)
    assert (model.runtime, model.served) == ("tensorflow", "model.graph")
    assert model.spec["backbone"]["module"] == "module"
    assert model.size_bytes == sum(
        file.stat().st_size for file in (out.path / "model.graph").rglob("*") if file.is_file()
    )
    found = judge({"model": out}, code, None, Folder(str(tmp_path / "verdict")), print)["model"]
    assert found["accuracy"] >= 0.9
    assert found["p99_ms"] > 0
    with pytest.raises(RequestError) as caught:
        Classifier(model, out.path)
    assert str(caught.value) == (
        f"{out.path}: takes strings, which only TensorFlow runs, and replicas have no TensorFlow; "
        "distill it into a backbone with a tokenizer of its own"
    )


def test_an_artifact_needs_nothing_but_itself(digits: Folder, image_folder: Path, tmp_path: Path) -> None:
    module = image_folder.rename(image_folder.with_name("moved"))
    out = train(tmp_path, digits, {"module": str(module), "reads": "image"}, epochs=3)
    module.rename(image_folder)
    chain = [Technique.choose({"kind": "quantize", "scheme": "int8"})]
    small = Folder.parse(str(tmp_path / "small"))
    CompressWork(chain, Single(), out, digits, small)(Single().engine(), MemoryKeeper(tmp_path))
    again = Folder.parse(str(tmp_path / "again"))
    CompressWork(chain, Single(), small, digits, again)(Single().engine(), MemoryKeeper(tmp_path))
    found = judge({"whole": out, "small": small, "again": again}, digits, None, again / "verdict", print)
    assert found["whole"]["accuracy"] >= 0.8
    assert found["small"]["accuracy"] >= found["whole"]["accuracy"] - 0.03
    assert found["small"]["size_bytes"] < found["whole"]["size_bytes"]
    assert found["again"]["accuracy"] == found["small"]["accuracy"]
    answers = Classifier(Model.load(small), small.path).classify(golden_rows(small.path))
    assert all(0 < answer["probability"] <= 1 for answer in answers)


def test_frozen_weights_stay_in_the_module_and_trained_ones_are_kept_by_name(
    digits: Folder, image_folder: Path, tmp_path: Path
) -> None:
    import tensorflow as tf

    module = {"module": str(image_folder), "reads": "image"}
    frozen = train(tmp_path / "frozen", digits, module, 1)
    trained = train(tmp_path / "trained", digits, module | {"trainable": True}, 1)
    kept = [read_weights((folder.path / "weights.npz").read_bytes(), "weights") for folder in (frozen, trained)]
    assert sorted(kept[0]) == ["logits/bias", "logits/kernel"]
    assert sorted(kept[1]) == ["logits/bias", "logits/kernel", "logits/kernel#2", "logits/kernel#3"]
    assert Model.load(frozen).parameters == Model.load(trained).parameters == 3 * 3 * 8 + 8 + 128 * 10 + 10
    original = tf.saved_model.load(str(image_folder))
    shapes = {value.shape: value for value in kept[1].values()}
    assert not np.allclose(shapes[3, 3, 1, 8], original.kernel.numpy())
    np.testing.assert_array_equal(shapes[8,], original.shift.numpy())


def test_a_keras_application_exported_for_serving_gives_features(digits: Folder, tmp_path: Path) -> None:
    import tf_keras as keras

    net = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None)
    net.export(str(tmp_path / "mobilenet"))
    backbone = Hub(module=str(tmp_path / "mobilenet"), reads="image")
    dataset = Dataset.load(digits).model_copy(update={"image": [32, 32, 3]})
    (tmp_path / "kept").mkdir()
    pixels = backbone.preprocess(dataset, tmp_path / "kept")
    assert pixels.model_dump() == {"kind": "image", "height": 32, "width": 32, "channels": 3}
    inputs = keras.Input((32, 32, 3), name="image")
    placed = backbone.resolved(tmp_path / "kept").located(tmp_path / "kept")
    features = keras.Model(inputs, placed.features(inputs, pixels, 0))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(features(images), np.mean(net(images / 255), (1, 2)), atol=1e-5)


def features(backbone: Hub, data: Folder, into: Path) -> Any:
    import tf_keras as keras

    (into / "kept").mkdir(exist_ok=True)
    pixels = backbone.preprocess(Dataset.load(data), into / "kept")
    placed = backbone.resolved(into / "kept").located(into / "kept")
    return placed.features(keras.Input((8, 8, 1), name="image"), pixels, 0)


def refusal(folder: Path | str, data: Folder, into: Path, **fields: Any) -> str:
    backbone = Hub.model_validate({"module": str(folder), "reads": "image"} | fields)
    with pytest.raises((RequestError, StepError)) as caught:
        features(backbone, data, into)
    return str(caught.value).replace(str(into), "…")


def test_a_module_that_takes_something_else_is_refused_with_what_it_has(
    digits: Folder, code: Folder, tmp_path: Path
) -> None:
    import tensorflow as tf

    folder = signature_module(
        tmp_path / "sum", lambda x: {"total": tf.reduce_sum(x, 1)}, tf.TensorSpec([None, 4], tf.float32, "x"), "total"
    )
    assert refusal(folder, digits, tmp_path) == (
        "module …/sum: has total(x: float32[?, 4]) -> (total: float32[?]), wanted the module itself, or "
        "serving_default or default, to take images float32[?, height, width, channels]; "
        "name another signature, or another module"
    )
    assert refusal(GUESSLANG, code, tmp_path, reads="text", signature="predict") == (
        f"module {GUESSLANG}: has the outputs all_class_ids: int32[?, 54], all_classes: string[?, 54], "
        "class_ids: int64[?, 1], classes: string[?, 1], logits: float32[?, 54], probabilities: float32[?, 54], "
        "wanted one of them named; set the backbone's output to the one with features"
    )


def test_images_of_another_size_are_refused_with_the_size_to_set(digits: Folder, tmp_path: Path) -> None:
    folder = image_module(tmp_path / "large", 32, None, 3)
    assert refusal(folder, digits, tmp_path) == (
        "module …/large: was given images of 8x8x1, wanted 32x8x3; "
        "set the data set's image: {height: 32, width: 8, channels: 3}"
    )


def test_a_module_that_is_called_by_a_signature_cannot_be_trained(digits: Folder, tmp_path: Path) -> None:
    import tensorflow as tf

    spec = tf.TensorSpec([None, 8, 8, 1], tf.float32, "x")
    folder = signature_module(tmp_path / "flat", lambda x: {"flat": tf.reshape(x, [-1, 64])}, spec)
    assert refusal(folder, digits, tmp_path, trainable=True) == (
        "module …/flat: is called by a signature, wanted a module that can itself be called and has trainable "
        "variables; set trainable: false"
    )


def test_a_graph_that_reads_files_is_refused_before_it_is_loaded(digits: Folder, tmp_path: Path) -> None:
    import tensorflow as tf

    def call(x: Any) -> Any:
        length = tf.strings.length(tf.io.read_file("/etc/hostname"))
        return {"features": tf.reshape(x, [-1, 64]) + tf.cast(length, tf.float32)}

    folder = signature_module(tmp_path / "spy", call, tf.TensorSpec([None, 8, 8, 1], tf.float32, "x"))
    assert refusal(folder, digits, tmp_path) == (
        "…/spy: holds the op ReadFile, which reaches files, the network or Python wherever the module is used, "
        "wanted a graph of tensor operations; export the module without it"
    )


def test_a_module_is_downloaded_by_its_handle(digits: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = image_module(tmp_path / "image")
    (tmp_path / "served").mkdir()
    with tarfile.open(tmp_path / "served" / "features", "w:gz") as archive:
        archive.add(module, ".")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        backbone = Hub(module=f"{address}/features", reads="image")
        assert backbone.inputs() == []
        assert features(backbone, digits, tmp_path).shape == (None, 128)
        monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))  # where anybody may have put something
        module.rename(tmp_path / hashlib.sha1(f"{address}/nothing".encode()).hexdigest())
        said = refusal(f"{address}/nothing", digits, tmp_path)
        server.shutdown()
    assert said == (
        f"{address}/nothing: could not be downloaded (HTTP Error 404: File not found); "
        "mend the handle, or download the module elsewhere and name its folder"
    )


def test_a_module_without_its_variables_is_refused(digits: Folder, tmp_path: Path) -> None:
    folder = image_module(tmp_path / "image")
    (folder / "variables" / "variables.index").unlink()
    said = refusal(folder, digits, tmp_path)
    assert said.startswith("…/kept/module: could not be loaded (")
    assert said.endswith("), wanted a whole SavedModel")


def test_what_is_no_module_is_refused(digits: Folder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty", digits, tmp_path) == (
        "…/empty: holds no saved_model.pb, wanted the folder of a SavedModel"
    )
    assert refusal(tmp_path / "nothing", digits, tmp_path) == (
        "…/nothing: does not exist, wanted the folder of a SavedModel, or a TensorFlow Hub handle"
    )
    (tmp_path / "empty" / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    assert refusal(tmp_path / "empty", digits, tmp_path) == "…/empty/saved_model.pb: is damaged, wanted a SavedModel"
