"""Writes TFRecord files and Hugging Face folders for tests, without TensorFlow and without `datasets`."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from jobs.data.sources.framing import ALL, MASK, crc32c


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    pieces = []
    while value > 127:
        pieces.append(value & 127 | 128)
        value >>= 7
    return bytes([*pieces, value])


def delimited(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def feature(values: list[Any]) -> bytes:
    if isinstance(values[0], bytes):
        return delimited(1, b"".join(delimited(1, value) for value in values))
    if isinstance(values[0], float):
        return delimited(2, delimited(1, struct.pack(f"<{len(values)}f", *values)))
    return delimited(3, delimited(1, b"".join(map(varint, values))))


def example(features: Mapping[str, Any]) -> bytes:
    """Return a tf.train.Example; a value that is no list stands for a list of one."""
    entries = b""
    for name, value in features.items():
        content = feature(value if isinstance(value, list) else [value])
        entries += delimited(1, delimited(1, name.encode()) + delimited(2, content))
    return delimited(1, entries)


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + MASK) & ALL)


def framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def write_records(path: Path, examples: Iterable[Mapping[str, Any]]) -> Path:
    path.write_bytes(b"".join(framed(example(features)) for features in examples))
    return path


CARD = """\
---
license: mit
dataset_info:
  features:
  - name: {content}
    dtype: {kind}
  - name: label
    dtype:
      class_label:
        names:
{names}
---
# A data set
"""


def card(kind: str, names: list[str], content: str = "") -> str:
    """Return a card as `datasets` writes it."""
    listed = "\n".join(f"          '{number}': {name}" for number, name in enumerate(names))
    return CARD.format(content=content or {"string": "text"}.get(kind, kind), kind=kind, names=listed)


def write_parquet(path: Path, columns: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(dict(columns)), path)
    return path
