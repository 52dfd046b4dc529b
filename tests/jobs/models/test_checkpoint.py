from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.models.checkpoint import Checkpoint
from tests.jobs.models.making import SHAPES, hugging_face, tensors, write_config

ROOT = Path(__file__).parent.parent.parent.parent
QUERY = "encoder.layer.0.attention.self.query.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return hugging_face(tmp_path / "hf")


def test_tensors_come_by_our_names_as_our_layers_keep_them(folder: Path) -> None:
    found, values = Checkpoint(str(folder)).weights(length=6, pooler=False), tensors()
    assert np.array_equal(found["layer0_query/kernel"], values[QUERY].T)
    assert np.array_equal(found["layer0_intermediate/bias"], values["encoder.layer.0.intermediate.dense.bias"])
    assert np.array_equal(found["layer0_output_norm/gamma"], values["encoder.layer.0.output.LayerNorm.weight"])
    assert np.array_equal(found["words/embeddings"], values["embeddings.word_embeddings.weight"])
    first_segment = values["embeddings.token_type_embeddings.weight"][0]
    assert np.array_equal(
        found["positions/embeddings"], values["embeddings.position_embeddings.weight"][:6] + first_segment
    )
    assert len(found) == len(SHAPES) - 1


def test_a_prefix_the_oldest_names_and_a_head_make_no_difference(folder: Path, tmp_path: Path) -> None:
    def older(name: str) -> str:
        return "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    values = {older(name): value for name, value in tensors().items()}
    other = hugging_face(tmp_path / "other", values | {"cls.predictions.bias": np.zeros(3, np.float32)})
    plain, found = (Checkpoint(str(place)).weights(6, pooler=False) for place in (folder, other))
    assert plain.keys() == found.keys()
    assert all(np.array_equal(plain[name], found[name]) for name in plain)


def test_shards_are_read_by_their_index(folder: Path, tmp_path: Path) -> None:
    whole = Checkpoint(str(folder)).weights(6, pooler=False)
    (folder / "model.safetensors").unlink()
    names = list(SHAPES)
    parts = {"a.safetensors": names[:9], "b.safetensors": names[9:]}
    for file, kept in parts.items():
        save_file({name: tensors()[name] for name in kept}, folder / file)
    index = {"weight_map": {name: file for file, kept in parts.items() for name in kept}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    found = Checkpoint(str(folder)).weights(6, pooler=False)
    assert all(np.array_equal(whole[name], found[name]) for name in whole)


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_shorter_floats_become_float32(kind: Any, tmp_path: Path) -> None:
    short = {name: value.astype(kind) for name, value in tensors().items()}
    found = Checkpoint(str(hugging_face(tmp_path / "hf", short))).weights(6, pooler=False)["layer0_query/kernel"]
    assert found.dtype == np.float32
    assert np.array_equal(found, short[QUERY].astype(np.float32).T)


def test_bfloat16_is_read_where_nothing_else_brought_it(tmp_path: Path) -> None:
    short = {name: value.astype(ml_dtypes.bfloat16) for name, value in tensors().items()}
    folder = hugging_face(tmp_path / "hf", short)
    code = (
        "import sys; from jobs.models.checkpoint import Checkpoint\n"
        "found = Checkpoint(sys.argv[1]).weights(6, pooler=False)['layer0_query/kernel']\n"
        "print(found.dtype, found.shape, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("float32 (8, 8) False\n", "")


def test_a_remote_folder_gives_the_same_tensors(folder: Path, s3_root: Folder) -> None:
    for name in ("config.json", "model.safetensors", "vocab.txt"):
        s3_root.write_bytes(name, (folder / name).read_bytes())
    near, far = (Checkpoint(str(place)).weights(6, pooler=False) for place in (folder, s3_root))
    assert all(np.array_equal(near[name], far[name]) for name in near)


def refusal(where: Path, pooler: bool = False) -> str:
    with pytest.raises(RequestError) as caught:
        Checkpoint(str(where)).weights(6, pooler)
    return str(caught.value).replace(str(where), "HF")


def test_a_tensor_of_another_shape_is_named_with_both_shapes(tmp_path: Path) -> None:
    values = tensors() | {QUERY: np.zeros((8, 7), np.float32)}
    assert refusal(hugging_face(tmp_path / "hf", values)) == (
        f"HF/model.safetensors: tensor {QUERY}: has shape [8, 7], wanted [8, 8]"
    )


def test_a_missing_tensor_and_one_of_integers_are_named(tmp_path: Path) -> None:
    values = tensors()
    del values[QUERY]
    assert refusal(hugging_face(tmp_path / "a", values)) == f"HF: has no tensor {QUERY}, wanted shape [8, 8]"
    values[QUERY] = np.zeros((8, 8), np.int8)
    assert refusal(hugging_face(tmp_path / "b", values)) == (
        f"HF/model.safetensors: tensor {QUERY}: is of type I8, wanted one of F32, F16, BF16"
    )
    found = refusal(hugging_face(tmp_path / "c"), pooler=True)
    assert found == "HF: has no tensor pooler.dense.weight, wanted shape [8, 8]"


def test_pickled_weights_are_refused_unopened(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert refusal(folder) == (
        "HF: holds only pickled weights (pytorch_model.bin), which are code, wanted model.safetensors; "
        "save the model with transformers' save_pretrained, which writes safetensors"
    )
    (folder / "pytorch_model.bin").unlink()
    assert refusal(folder).startswith("HF: has no model.safetensors, wanted model.safetensors; save the model")


def test_damaged_weights_and_an_index_that_leads_out_are_refused(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-1])
    assert refusal(folder).startswith("HF/model.safetensors: is not a safetensors file (")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {QUERY: "../x.safetensors"}}))
    assert refusal(folder) == ("HF/model.safetensors.index.json: has no weight_map of names of files in the folder")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "roberta"}, "model_type: is 'roberta', wanted 'bert'"),
        ({"model_type": None}, "model_type: is missing"),
        ({"hidden_act": "relu"}, "hidden_act: is 'relu', wanted 'gelu'"),
        (
            {"position_embedding_type": "relative_key"},
            "position_embedding_type: is 'relative_key', wanted 'absolute'",
        ),
        ({"is_decoder": True}, "is_decoder: is True, wanted False"),
        ({"hidden_size": "8"}, "hidden_size: is '8', wanted a valid integer"),
        ({"hidden_size": 9}, "hidden_size: is 9, wanted a multiple of num_attention_heads, 2"),
    ],
)
def test_another_architecture_is_refused(changes: dict[str, Any], message: str, folder: Path) -> None:
    write_config(folder, **changes)
    assert refusal(folder) == f"HF/config.json: {message}"


def test_what_is_no_hugging_face_folder_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == "HF: has no config.json, wanted a Hugging Face folder"
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file") == "HF: has no config.json, wanted a Hugging Face folder"
    (tmp_path / "config.json").write_text("[1")
    assert refusal(tmp_path).startswith("HF/config.json: is not JSON (")
    (tmp_path / "config.json").write_text("[1]")
    assert refusal(tmp_path) == "HF/config.json: is not a JSON object"
