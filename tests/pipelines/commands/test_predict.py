from __future__ import annotations

from pathlib import Path

import pytest

from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.data.preprocess import ImageAndText, ImagePixels, Preprocess, WordPieces
from jobs.data.text import train_tokenizer
from tests.pipelines.commands.conftest import Define, Espalier


def model(path: Path, preprocess: Preprocess) -> Path:
    facts = Model(spec={}, classes=["a", "b"], preprocess=preprocess, parameters=1, size_bytes=4)
    facts.save(Folder.parse(str(path)))
    (path / "model.tflite").write_bytes(b"none")
    return path


def test_no_such_folder(espalier: Espalier) -> None:
    said = espalier("predict", "nowhere", "x")
    assert said.code == 2
    assert said.err == (
        "error: nowhere: does not exist, wanted the folder of a Model artifact; "
        "`espalier status` names the folders of a definition's artifacts\n"
    )


def test_a_folder_of_something_else(espalier: Espalier, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = espalier("predict", "empty", "x")
    assert said.code == 2
    assert said.err.startswith(f"error: {tmp_path}/empty: has no artifact.json, wanted the folder of an artifact")


def test_an_artifact_that_is_no_model(espalier: Espalier, define: Define, tmp_path: Path) -> None:
    espalier("run", define(a={}))
    (place,) = (tmp_path / "runs/toys").iterdir()
    (attempt,) = place.glob("20*")
    said = espalier("predict", place, "x")
    assert (said.code, said.err) == (2, f"error: {attempt}: is a Report, wanted a Model\n")
    (place / "record.json").write_text('{"attempt": "../../x"}')
    said = espalier("predict", place, "x")
    assert said.code == 2
    assert said.err.startswith(f"error: {place}/record.json: is damaged (")


@pytest.mark.parametrize("facts", ["", "{", "[]", '{"format": 1, "type": "Model", "facts": {}}'])
def test_a_damaged_model(espalier: Espalier, tmp_path: Path, facts: str) -> None:
    (tmp_path / "artifact.json").write_text(facts)
    said = espalier("predict", tmp_path, "x")
    assert said.code == 2
    assert said.err.startswith(f"error: {tmp_path}")


def test_a_newer_model(espalier: Espalier, tmp_path: Path) -> None:
    (tmp_path / "artifact.json").write_text('{"format": 99, "type": "Model", "facts": {}}')
    said = espalier("predict", tmp_path, "x")
    assert said.code == 2
    assert said.err == (f"error: {tmp_path}/artifact.json: has format 99, wanted 1 or older; use a newer espalier\n")


def test_a_text_for_a_model_of_images(espalier: Espalier, tmp_path: Path) -> None:
    place = model(tmp_path / "model", ImagePixels(height=8, width=8, channels=1))
    said = espalier("predict", place, "shares fell sharply")
    assert said.code == 2
    assert said.err == "error: shares fell sharply: is no file, wanted the path of an image\n"


def test_a_model_of_pairs_is_asked_with_an_image_and_its_text(espalier: Espalier, tmp_path: Path) -> None:
    image, text = ImagePixels(height=8, width=8, channels=1), WordPieces(length=8, vocabulary=9)
    place = model(tmp_path / "model", ImageAndText(image=image, text=text))
    for more in ((), ("--text", "red shoes")):
        said = espalier("predict", place, "red shoes", *more)
        assert (said.code, said.err) == (2, "error: red shoes: is no file, wanted the path of an image\n")


def test_a_served_file_that_is_none(espalier: Espalier, tmp_path: Path) -> None:
    place = model(tmp_path / "model", WordPieces(length=8, vocabulary=9))
    (tmp_path / "model/model.tflite").write_bytes(b"none")
    said = espalier("predict", place, "shares")
    assert said.code == 2
    assert f"error: {place}/model.tflite: is not a file LiteRT can run" in said.err


@pytest.mark.training
def test_a_file_that_is_not_utf8_is_refused_as_preparation_refuses_it(espalier: Espalier, tmp_path: Path) -> None:
    import tf_keras as keras

    from jobs.convert import to_litert

    preprocess = WordPieces(length=8, vocabulary=100)
    place = model(tmp_path / "model", preprocess)
    train_tokenizer(["oak and leaf"] * 9, 100).save(str(tmp_path / "model" / preprocess.tokenizer))
    inputs = keras.Input((8,), dtype="int32", name="tokens")
    hidden = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(100, 4)(inputs))
    file = to_litert(keras.Model(inputs, keras.layers.Dense(2)(hidden)))
    (tmp_path / "model/model.tflite").write_bytes(file)
    (tmp_path / "oak.txt").write_bytes(b"oak and leaf")
    assert espalier("predict", place, "oak.txt").code == 0
    (tmp_path / "oak.txt").write_bytes(b"oak and caf\xe9")
    said = espalier("predict", place, "oak.txt")
    assert (said.code, said.err) == (2, "error: oak.txt: is not valid UTF-8\n")


def test_an_endpoint_that_does_not_answer(espalier: Espalier) -> None:
    said = espalier("predict", "http://127.0.0.1:1/classifier", "x")
    assert said.code == 3
    assert said.err.startswith("error: http://127.0.0.1:1/classifier: does not answer (")
