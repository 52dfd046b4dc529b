"""Hostile files at every door of ours: refused with the reason, nothing in them runs, and memory stays small."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults import hostile
from tests.faults.hostile import Maker

LARGEST = 64 << 20  # bytes that opening one may take: the largest file has 10 MB
KINDS = "a .h5 or .weights.h5 of Keras, a .npz or a .safetensors file"
WEIGHTS, SOURCE = "{folder}/hostile.yaml:4: steps.model.model.backbone.weights: ", "{folder}/hostile.yaml:3: steps.data"
TABLES = ".csv, .jsonl, .ndjson, .json, .parquet, .pq"
ARTIFACT = (
    "{path}: has no artifact.json, wanted the folder of an artifact; name the attempt's folder of a finished step"
)
ZEROS = "{path}: unpacks to 10737418240 bytes, and has {size}, wanted an archive of plain arrays, not compressed"
UNPACK = "{path}: is a file, wanted a folder; an archive must be unpacked first"


@dataclass(frozen=True)
class Case:
    """A file called `name`, opened by `door`, and what is said; `{path}`, `{folder}` and `{size}` are the file's."""

    make: Maker
    name: str
    door: str
    said: str


def no_weights(why: str) -> str:
    return f"{{path}}: is damaged, or no weights file ({why}), wanted {KINDS}"


def no_arrays(why: str) -> str:
    return f"{{path}}: is not an archive of plain arrays ({why})"


CASES = [
    Case(
        hostile.npy_of_pickles,
        "w.npy",
        "definition of a model",
        f"{WEIGHTS}w.npy may hold pickled code, which is not read; wanted {KINDS}",
    ),
    Case(
        hostile.keras_of_a_function,
        "w.keras",
        "definition of a model",
        f"{WEIGHTS}w.keras is an archive with code in its config; export its weights: save_weights('x.h5')",
    ),
    Case(
        hostile.tar_that_leads_out,
        "w.tar.gz",
        "definition of a model",
        f"{WEIGHTS}w.tar.gz is no weights file; wanted {KINDS}",
    ),
    Case(
        hostile.zip_that_leads_out,
        "t.zip",
        "definition of a table",
        f"{SOURCE}.source: t.zip has none of the extensions {TABLES}; set format",
    ),
    Case(
        hostile.npz_of_pickles, "w.npz", "weights", "{path}: weight logits/bias: does not hold floating-point numbers"
    ),
    Case(hostile.pickle_alone, "w.npz", "weights", no_weights("File is not a zip file")),
    Case(hostile.npz_of_zeros, "w.npz", "weights", "{path}: weight logits/bias: has shape (2684354560,), wanted (2,)"),
    Case(
        hostile.npz_with_a_long_header,
        "w.npz",
        "weights",
        no_weights("logits/bias.npy has another header than a plain array's"),
    ),
    Case(
        hostile.npz_that_promises,
        "w.npz",
        "weights",
        "{path}: weight logits/bias: has shape (1099511627776,), wanted (2,)",
    ),
    Case(
        hostile.keras_of_a_function,
        "w.npz",
        "weights",
        no_weights("the magic string is not correct; expected b'\\x93NUMPY', got b'{{\"clas'"),
    ),
    Case(
        hostile.keras_of_a_function,
        "w.h5",
        "weights",
        no_weights("Unable to synchronously open file (file signature not found)"),
    ),
    Case(
        hostile.hdf5_of_a_lambda,
        "w.h5",
        "weights",
        "{path}: is of a model with a Lambda layer, which is code, wanted weights of layers alone; "
        "rebuild the model without it and save its weights",
    ),
    Case(
        hostile.pickle_alone,
        "w.safetensors",
        "weights",
        "{path}: is damaged, or no safetensors file (Error while deserializing: header too large), "
        "wanted a safetensors file",
    ),
    Case(
        hostile.npz_of_pickles,
        "weights.npz",
        "model",
        no_arrays("Object arrays cannot be loaded when allow_pickle=False"),
    ),
    Case(hostile.pickle_alone, "weights.npz", "model", no_arrays("File is not a zip file")),
    Case(hostile.npz_of_zeros, "weights.npz", "model", ZEROS),
    Case(hostile.npz_with_a_long_header, "weights.npz", "model", ZEROS),
    Case(
        hostile.npz_that_promises,
        "weights.npz",
        "model",
        no_arrays("logits/bias.npy is of shape (1099511627776,), and has 128 bytes"),
    ),
    Case(
        hostile.parquet_of_pickles,
        "t.parquet",
        "table",
        "{path}: holds values of the extension type ray.data.arrow_pickled_object in the column 'text', "
        "wanted plain values; write the column as text, numbers or bytes",
    ),
    Case(
        hostile.zip_that_leads_out,
        "t.zip",
        "table as parquet",
        "{path}: is not a readable Parquet file (Parquet magic bytes not found in footer. "
        "Either the file is corrupted or this is not a parquet file.)",
    ),
    Case(hostile.zip_that_leads_out, "i.zip", "images", UNPACK),
    Case(hostile.tar_that_leads_out, "i.tar.gz", "images", UNPACK),
    Case(
        hostile.zip_that_leads_out,
        "h.zip",
        "huggingface",
        "{path}/data: holds no Parquet file, wanted files such as train-00000-of-00001.parquet; "
        "set subset, the folder of its Parquet files; loading scripts and pickles are never read",
    ),
    Case(
        hostile.tfrecord_of_2_to_40,
        "t.tfrecord",
        "tfrecord",
        "{path} row 1: is 1099511627776 bytes long, wanted at most 68157440",
    ),
    Case(
        hostile.tar_that_leads_out,
        "t.tar.gz",
        "tfrecord",
        "{path} row 1: is gzip, and compression is not set, wanted a TFRecord file, whole",
    ),
    Case(
        hostile.tar_that_leads_out,
        "m.tar.gz",
        "hub",
        "{path}: holds no saved_model.pb, wanted the folder of a SavedModel",
    ),
    Case(
        hostile.bert_of_pickles,
        "bert",
        "bert",
        "{path}: holds only pickled weights (pytorch_model.bin), which are code, wanted model.safetensors; "
        "save the model with transformers' save_pretrained, which writes safetensors",
    ),
    Case(
        hostile.zip_that_leads_out,
        "bert.zip",
        "bert",
        "{path}: has no config.json, wanted a Hugging Face folder",
    ),
    Case(hostile.tar_that_leads_out, "m.tar.gz", "artifact", ARTIFACT),
    Case(hostile.pickle_alone, "model", "artifact", ARTIFACT),
]
IDS = [f"{case.make.__name__} as {case.name} by {case.door}" for case in CASES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def opened(folder: Path) -> list[dict[str, Any]]:
    """Make every file in a folder of its own, and open each in one process that may take little memory."""
    asked = []
    for number, case in enumerate(CASES):
        path = folder / str(number) / case.name
        path.parent.mkdir()
        case.make(path, folder / "sentinel")
        asked.append((case.door, str(path)))
    command = [sys.executable, "-m", "tests.faults.opening"]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("number", range(len(CASES)), ids=IDS)
def test_a_hostile_file_is_refused_with_the_reason(number: int, folder: Path, opened: list[dict[str, Any]]) -> None:
    path = folder / str(number) / CASES[number].name
    facts = {"path": path, "folder": path.parent, "size": path.stat().st_size}
    assert opened[number]["said"] == CASES[number].said.format(**facts)
    assert opened[number]["bytes"] < LARGEST
    assert not (folder / "sentinel").exists()


def test_the_sentinel_is_made_by_who_does_open_them(tmp_path: Path) -> None:
    import numpy as np

    hostile.npy_of_pickles(tmp_path / "w.npy", tmp_path / "sentinel")
    np.load(tmp_path / "w.npy", allow_pickle=True)
    assert (tmp_path / "sentinel").is_dir()


def test_the_bomb_is_one(tmp_path: Path) -> None:
    import zipfile

    hostile.npz_of_zeros(tmp_path / "w.npz", tmp_path / "sentinel")
    assert (tmp_path / "w.npz").stat().st_size < 11 << 20
    with zipfile.ZipFile(tmp_path / "w.npz") as archive, archive.open("logits/bias.npy") as member:
        assert sum(len(member.read(1 << 24)) for _ in range(6)) > 90 << 20  # the first of its 10 GB
