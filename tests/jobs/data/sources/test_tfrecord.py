from __future__ import annotations

import gzip
import resource
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.data.rows import BadRow, Row
from jobs.data.sources.example import feature_names, parse_example
from jobs.data.sources.framing import LONGEST, PIECE, crc32c
from jobs.data.sources.tfrecord import TFRecord
from tests.jobs.data.making import jpeg, made
from tests.jobs.data.records import delimited, example, framed, masked, varint, write_records
from tests.jobs.data.sources.test_table import taken


def source(path: Any, **fields: Any) -> TFRecord:
    given = {"text": "text"} if "image" not in fields else {}
    found = path if isinstance(path, dict | list) else str(path)
    return TFRecord.model_validate({"kind": "tfrecord", "path": found, **given, **fields})


def error(tfrecord: TFRecord) -> str:
    with pytest.raises(RequestError) as caught:
        list(tfrecord.rows())
    return str(caught.value)


def rows(count: int = 3) -> list[dict[str, Any]]:
    return [{"text": f"row {n}".encode(), "label": n % 2, "score": [0.5, 1.5]} for n in range(count)]


@pytest.mark.parametrize(
    ("data", "crc"),
    [(b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E)],
)
def test_the_checksum_is_that_of_rfc_3720(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, PIECE - 1, PIECE, PIECE + 1, PIECE + 3, 3 * PIECE + 2])
def test_the_checksum_of_any_length_is_that_of_bit_by_bit(length: int) -> None:
    data, crc = bytes(n * 7 & 255 for n in range(length)), 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    assert crc32c(data) == crc ^ 0xFFFFFFFF


def test_texts_are_rows_with_integers_or_bytes_as_labels(tmp_path: Path) -> None:
    write_records(tmp_path / "t.tfrecord", [*rows(2), {"text": "é".encode(), "label": b"name"}])
    assert taken(source(tmp_path / "t.tfrecord")) == [
        ("t.tfrecord row 1", "row 0", "0"),
        ("t.tfrecord row 2", "row 1", "1"),
        ("t.tfrecord row 3", "é", "name"),
    ]


def test_images_are_the_bytes_of_files(tmp_path: Path) -> None:
    write_records(tmp_path / "t.tfrecord", [{"image/encoded": jpeg(n), "image/class": n} for n in range(2)])
    images = source(tmp_path / "t.tfrecord", image="image/encoded", label="image/class")
    assert images.modality() == "image"
    assert [raw for _, raw, _ in taken(images)] == [jpeg(0), jpeg(1)]


def test_splits_and_relative_paths_and_gzip(tmp_path: Path) -> None:
    for split in ("train", "test"):
        plain = write_records(tmp_path / f"{split}.plain", rows(2)).read_bytes()
        (tmp_path / split).write_bytes(gzip.compress(plain))
    found = source({"train": ["train"], "test": "test"}, compression="gzip").located(tmp_path)
    assert found.inputs() == [str(tmp_path / "train"), str(tmp_path / "test")]
    assert [(row.split, row.raw) for row in found.rows() if isinstance(row, Row)] == [
        ("train", "row 0"),
        ("train", "row 1"),
        ("test", "row 0"),
        ("test", "row 1"),
    ]


def test_what_spoils_one_row_spoils_no_other(tmp_path: Path) -> None:
    bad: list[dict[str, Any]] = [
        {"text": b"no label"},
        {"label": 1},
        {"text": 7, "label": 1},
        {"text": [b"a", b"b"], "label": 1},
        {"text": b"\xff\xfe", "label": 1},
        {"text": b"a", "label": b""},
        {"text": b"a", "label": b"\xff"},
    ]
    file = write_records(tmp_path / "t.tfrecord", [*rows(1), *bad])
    damaged = bytearray(framed(example({"text": b"damaged", "label": 1})))
    damaged[20] ^= 1
    file.write_bytes(file.read_bytes() + damaged + framed(b"\x0a\xff") + framed(b"") + framed(example(rows(1)[0])))
    assert [(raw, reason) for _, raw, reason in taken(source(file))] == [
        ("row 0", "0"),
        (None, "has no label"),
        (None, "has no text"),
        (None, "has int where text bytes were wanted"),
        (None, "has 2 texts"),
        ("\udcff\udcfe", "1"),
        (None, "has no label"),
        (None, "has a label that is not valid UTF-8"),
        (None, "has another checksum than it was written with"),
        (None, "is not a tf.train.Example"),
        (None, "has no label"),
        ("row 0", "0"),
    ]


def test_several_labels_and_numbers_to_predict_are_refused(tmp_path: Path) -> None:
    for label, found in (([1, 2], "2 labels"), (0.5, "a float as label")):
        write_records(tmp_path / "t.tfrecord", [{"text": b"a", "label": label}])
        assert error(source(tmp_path / "t.tfrecord")) == (
            f"t.tfrecord row 1: has {found}, wanted a name or an integer; "
            "classification is single-label; multi-label and regression are refused"
        )


def test_a_feature_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write_records(tmp_path / "t.tfrecord", rows())
    assert error(source(path, text="txt")) == (
        f"{path}: has no feature 'txt', wanted one of label, score, text; did you mean 'text'?"
    )


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = write_records(tmp_path / "t.tfrecord", rows(2)).read_bytes()
    half = len(whole) // 2
    cut = tmp_path / "cut.tfrecord"
    for end in range(half + 1, len(whole)):
        cut.write_bytes(whole[:end])
        found = f"has {end - half} of the 12 bytes of its length"
        if end - half >= 12:
            found = f"has {end - half - 12} of its {half - 12} bytes"
        assert error(source(cut)).startswith(f"{cut} row 2: {found}, wanted a")


def test_a_damaged_length_and_another_kind_of_file_are_refused(tmp_path: Path) -> None:
    path = write_records(tmp_path / "t.tfrecord", rows(2))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    assert error(source(path)) == (
        f"{path} row 2: has a length with another checksum than it was written with, wanted a TFRecord file, whole"
    )
    path.write_bytes(gzip.compress(whole))
    assert error(source(path)) == (f"{path} row 1: is gzip, and compression is not set, wanted a TFRecord file, whole")
    path.write_bytes(gzip.compress(whole)[:-20])
    assert error(source(path, compression="gzip")).startswith(f"{path}: is not whole gzip (")


def test_a_record_said_to_be_a_terabyte_long_is_refused_without_its_memory(tmp_path: Path) -> None:
    length = struct.pack("<Q", 2**40)
    (tmp_path / "t.tfrecord").write_bytes(length + masked(length) + bytes(1_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert error(source(tmp_path / "t.tfrecord")) == (
        f"{tmp_path}/t.tfrecord row 1: is 1099511627776 bytes long, wanted at most {LONGEST}"
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"


@pytest.mark.parametrize(
    ("message", "values"),
    [
        (delimited(2, delimited(1, struct.pack("<2f", 0.5, -2))), [0.5, -2.0]),
        (delimited(2, b"\x0d" + struct.pack("<f", 0.5) + b"\x0d" + struct.pack("<f", 4)), [0.5, 4.0]),
        (delimited(3, b"\x08" + varint(-1) + b"\x08" + varint(300)), [-1, 300]),
        (delimited(3, delimited(1, varint(-(2**63)) + varint(7))), [-(2**63), 7]),
        (delimited(1, delimited(1, b"a")) + delimited(1, delimited(1, b"b")), [b"a", b"b"]),
        (delimited(1, delimited(1, b"a")) + delimited(3, b"\x08\x05"), [5]),
        (b"\x19" + bytes(8) + b"\x25" + bytes(4) + b"\x28\x01" + delimited(1, delimited(1, b"a")), [b"a"]),
        (b"", []),
    ],
)
def test_every_way_to_write_a_list_is_read(message: bytes, values: list[Any]) -> None:
    record = delimited(1, delimited(1, delimited(1, b"x") + delimited(2, message)))
    assert parse_example(record, ["x"]) == {"x": values}
    assert feature_names(record) == ["x"]


@pytest.mark.parametrize("record", [b"\x0a", b"\x0a\x05ab", b"\xff" * 11, b"\x0b", delimited(1, b"\x0a\x03\x0a\x01")])
def test_what_is_no_example_is_a_bad_row(record: bytes) -> None:
    with pytest.raises(BadRow, match=r"^is not a tf\.train\.Example$"):
        parse_example(record, ["x"])


def test_text_or_image_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="needs either text or image, the name of one feature"):
        TFRecord.model_validate({"kind": "tfrecord", "path": "t"})


def test_a_data_set_is_made_from_an_object_store(s3_root: Folder, tmp_path: Path) -> None:
    s3_root.write_bytes("t.tfrecord", write_records(tmp_path / "t", rows(40)).read_bytes())
    path = str(s3_root.child("t.tfrecord"))
    dataset, _ = made(tmp_path / "out", {"kind": "tfrecord", "path": path, "text": "text"})
    assert (dataset.rows, dataset.classes) == ({"train": 32, "validation": 4, "test": 4}, ["0", "1"])


TENSORFLOW = """
import random, sys
import tensorflow as tf
from jobs.data.sources.example import parse_example
from jobs.data.sources.framing import checked, read_frames

draw = random.Random(3)
kinds = {
    "bytes_list": lambda: tf.train.BytesList(value=[draw.randbytes(draw.choice((0, 5, 9_000))) for _ in range(3)]),
    "float_list": lambda: tf.train.FloatList(value=[draw.gauss(0, 1) for _ in range(draw.randrange(4))]),
    "int64_list": lambda: tf.train.Int64List(value=[draw.randrange(-2**63, 2**63) for _ in range(draw.randrange(4))]),
}
examples = []
for _ in range(200):
    named = [("é", draw.choice(list(kinds))), ("b", draw.choice(list(kinds)))]
    features = {name: tf.train.Feature(**{kind: kinds[kind]()}) for name, kind in named}
    examples.append((named, tf.train.Example(features=tf.train.Features(feature=features))))
for options in ("", "GZIP"):
    with tf.io.TFRecordWriter(sys.argv[1], options) as writer:
        for _, example in examples:
            writer.write(example.SerializeToString())
    read = [checked(*frame[1:]) for frame in read_frames(sys.argv[1], "gzip" if options else None)]
    assert read == [example.SerializeToString() for _, example in examples]
for record, (named, example) in zip(read, examples, strict=True):
    wanted = {name: list(getattr(example.features.feature[name], kind).value) for name, kind in named}
    assert parse_example(record, ["é", "b"]) == wanted, (parse_example(record, ["é", "b"]), wanted)
print("alike", len(read))
"""


@pytest.mark.training
def test_files_that_tensorflow_writes_are_read_alike(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TENSORFLOW, str(tmp_path / "t.tfrecord")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "alike 200\n", done.stderr
