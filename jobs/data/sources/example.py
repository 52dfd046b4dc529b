"""Reads tf.train.Example messages off the wire: its own protobuf class would bring all of TensorFlow with it.

Example{Features features = 1}, Features{map<string, Feature> feature = 1}, Feature{oneof: BytesList = 1, FloatList = 2,
Int64List = 3}, each a list{repeated value = 1}, numbers packed or not (tensorflow/core/example/*.proto).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator

from jobs.data.rows import BadRow

Values = list[bytes] | list[float] | list[int]
Field = tuple[int, int, bytes | int]  # number, wire type, content
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
BYTES, FLOATS, INTEGERS = 1, 2, 3


def parse_example(record: bytes, wanted: Collection[str]) -> dict[str, Values]:
    """Return the values of the features `wanted` that the Example has; BadRow when it is not one."""
    names = {name.encode(): name for name in wanted}
    try:
        return {names[key]: _values(feature) for key, feature in _features(record) if key in names}
    except (ValueError, IndexError, struct.error):
        raise BadRow("is not a tf.train.Example") from None


def feature_names(record: bytes) -> list[str]:
    """Return the names of all features of an Example, sorted; BadRow when it is not one."""
    try:
        return sorted({key.decode("utf-8", "replace") for key, _ in _features(record)})
    except (ValueError, IndexError, struct.error):
        raise BadRow("is not a tf.train.Example") from None


def _features(record: bytes) -> Iterator[tuple[bytes, bytes]]:
    for features in _messages(record):
        for entry in _messages(features):
            key, value = b"", b""
            for number, content in _delimited(entry):
                if number == 1:
                    key = content
                elif number == 2:
                    value += content  # a message given twice is merged
            yield key, value


def _messages(message: bytes) -> Iterator[bytes]:
    """Yield the content of field 1, which is a message."""
    yield from (content for number, content in _delimited(message) if number == 1)


def _values(feature: bytes) -> Values:
    """Return the values of a Feature: of the kind that is given last, all of its lists together."""
    kind, lists = 0, b""
    for number, content in _delimited(feature):
        if number in (BYTES, FLOATS, INTEGERS):
            lists = lists + content if number == kind else content
            kind = number
    if kind == BYTES:
        return list(_messages(lists))
    found = [(wire, content) for number, wire, content in _fields(lists) if number == 1]
    if kind == FLOATS:
        return [value for wire, content in found for value in _floats(wire, content)]
    return [value for wire, content in found for value in _integers(wire, content)]


def _floats(wire: int, content: bytes | int) -> Iterator[float]:
    if wire in (FIXED32, DELIMITED) and isinstance(content, bytes):
        yield from (value for (value,) in struct.iter_unpack("<f", content))


def _integers(wire: int, content: bytes | int) -> Iterator[int]:
    if isinstance(content, int):
        yield _signed(content)
        return
    at = 0
    while wire == DELIMITED and at < len(content):
        value, at = _varint(content, at)
        yield _signed(value)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _delimited(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (number, content) of the fields that are bytes, strings and messages."""
    for number, wire, content in _fields(message):
        if wire == DELIMITED and isinstance(content, bytes):
            yield number, content


def _fields(message: bytes) -> Iterator[Field]:
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(message, at)
            yield number, wire, value
            continue
        length = {FIXED64: 8, FIXED32: 4}.get(wire, 0)
        if wire == DELIMITED:
            length, at = _varint(message, at)
        elif not length:
            raise ValueError(f"wire type {wire}")
        if at + length > len(message):
            raise ValueError("it ends inside a field")
        yield number, wire, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (2**64 - 1), at
    raise ValueError("a number of more than ten bytes")
