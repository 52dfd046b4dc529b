"""Tensors of the Open Inference Protocol v2 (github.com/kserve/open-inference-protocol), whichever way they came."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.data.rows import Pair
from jobs.runtime.classifier import Raw
from jobs.serving.limits import Limits
from jobs.serving.refused import Refused
from jobs.serving.versions.version import Version

DATATYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
OUTPUTS = ("probabilities", "label")
MOST_DIMENSIONS = 8


@dataclass(slots=True)
class Tensor:
    """A named array; of BYTES an object array of bytes."""

    name: str
    datatype: str
    shape: list[int]
    data: NDArray[Any]


@dataclass(slots=True)
class Inference:
    """A request as both protocols make it: inputs by name, and which outputs are wanted (none named: all)."""

    id: str = ""
    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)


def size_of(name: str, datatype: str, shape: Sequence[Any], limits: Limits) -> int:
    """Return how many elements a tensor has; Refused(400) for a shape or datatype that is none."""
    if datatype not in DATATYPES:
        raise Refused(400, f"input {name[:64]} has the unknown datatype {datatype[:20]}")
    if len(shape) > MOST_DIMENSIONS or not all(type(one) is int and 0 <= one < 2**31 for one in shape):
        raise Refused(400, f"input {name[:64]} has no shape")
    total = 1
    for one in shape:
        total *= one
    if total > limits.body_bytes:
        raise Refused(413, f"input {name[:64]} has {total} elements")
    return total


def from_raw(name: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview, limits: Limits) -> Tensor:
    """Return the tensor of packed bytes: little-endian, or of BYTES each element behind its length in four bytes."""
    total = size_of(name, datatype, shape, limits)
    if datatype == "BYTES":
        return Tensor(name, datatype, list(shape), _objects(_strings(name, bytes(raw), total)))
    kind = np.dtype(DATATYPES[datatype])
    if len(raw) != total * kind.itemsize:
        raise Refused(400, f"input {name[:64]} has {len(raw)} bytes, wanted {total * kind.itemsize}")
    return Tensor(name, datatype, list(shape), np.frombuffer(raw, kind).reshape(shape))


def from_values(name: str, datatype: str, shape: Sequence[int], values: Any, limits: Limits) -> Tensor:
    """Return the tensor of a list of values, nested or flat; Refused(400) for values of another kind."""
    total = size_of(name, datatype, shape, limits)
    if datatype == "BYTES":
        flat = _flat(values)
        if len(flat) != total or not all(isinstance(one, str | bytes) for one in flat):
            raise Refused(400, f"input {name[:64]} is not {total} strings")
        return Tensor(name, datatype, list(shape), _objects([_encoded(name, one) for one in flat]))
    kind = np.dtype(DATATYPES[datatype])
    try:
        array = np.asarray(values).reshape(shape)
    except (ValueError, OverflowError, RecursionError):
        raise Refused(400, f"input {name[:64]} is not {total} numbers of that shape") from None
    if array.dtype.kind not in ("iub" if kind.kind in "iub" else "iubf") and total:
        raise Refused(400, f"input {name[:64]} has values that are no {datatype}")
    if kind.kind in "iu" and total and not (np.iinfo(kind).min <= array.min() and array.max() <= np.iinfo(kind).max):
        raise Refused(400, f"input {name[:64]} has values that are no {datatype}")
    return Tensor(name, datatype, list(shape), array.astype(kind))


def _flat(values: Any) -> list[Any]:
    if not isinstance(values, list):
        return [values]
    flat: list[Any] = []
    for one in values:
        if isinstance(one, list):
            if any(isinstance(inner, list) for inner in one):
                return []
            flat += one
        else:
            flat.append(one)
    return flat


def _encoded(name: str, one: str | bytes) -> bytes:
    try:
        return one.encode() if isinstance(one, str) else one
    except UnicodeEncodeError:
        raise Refused(400, f"input {name[:64]} has a string that is not valid UTF-8") from None


def _objects(values: list[bytes]) -> NDArray[Any]:
    array = np.empty(len(values), np.object_)
    array[:] = values
    return array


def _strings(name: str, raw: bytes, total: int) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at + 4 <= len(raw) and len(found) < total:
        (length,) = struct.unpack_from("<I", raw, at)
        if at + 4 + length > len(raw):
            break
        found.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    if len(found) != total or at != len(raw):
        raise Refused(400, f"input {name[:64]} is not {total} strings, each behind its length")
    return found


def packed(array: NDArray[Any]) -> bytes:
    """Return an output as packed bytes, the way `from_raw` reads them."""
    if array.dtype == np.object_:
        return b"".join(struct.pack("<I", len(one)) + one for one in array.ravel())
    return array.tobytes()


async def infer(version: Version, asked: Inference, told: Any) -> dict[str, NDArray[Any]]:
    """Return the outputs by name: `probabilities` float32[rows, classes], `label` bytes[rows]."""
    for name in asked.outputs:
        if name not in OUTPUTS:
            raise Refused(400, f"there is no output {name[:64]}: there are {', '.join(OUTPUTS)}")
    items, rows = _rows(version, asked.inputs)
    if rows is None:
        rows, wrong = await version.prepare(items)
        bad = [f"row {index} {reason}" for index, reason in enumerate(wrong) if reason is not None]
        if bad or rows is None:
            raise Refused(400, "; ".join(bad[:5]))
    probabilities = await version.probabilities(rows)
    told(version.name, rows, probabilities)
    outputs: dict[str, NDArray[Any]] = {}
    for name in asked.outputs or OUTPUTS:
        outputs[name] = probabilities if name == "probabilities" else _labels(version, probabilities)
    return outputs


def labels(version: Version, outputs: dict[str, NDArray[Any]]) -> list[Any]:
    """Return the label of each row, whichever outputs were asked for."""
    found = outputs["label"] if "label" in outputs else _labels(version, outputs["probabilities"])
    return list(found)


def _labels(version: Version, probabilities: NDArray[Any]) -> NDArray[Any]:
    labels = [version.classifier.answer(row, 1)["label"] or "" for row in probabilities]
    return _objects([label.encode("utf-8", "replace") for label in labels])


def _rows(version: Version, given: Mapping[str, Tensor]) -> tuple[list[Raw], Any]:
    """Return the raw items of a request, or its prepared rows where it brings pixels alone."""
    wanted = version.tensors
    if set(given) != set(wanted):
        found = ", ".join(sorted(name[:64] for name in given)) or "nothing"
        raise Refused(400, f"the inputs are {found}, wanted {', '.join(wanted)}")
    columns = [_column(tensor, *wanted[tensor.name]) for tensor in given.values()]
    rows = {len(column) for column in columns}
    most = version.limits.items
    if len(rows) != 1 or not 1 <= max(rows) <= most:
        raise Refused(400, f"the inputs have {sorted(rows)} rows, wanted as many each, from 1 to {most}")
    named = dict(zip(given, columns, strict=True))
    if set(wanted) == {"image"}:
        images = named["image"]
        return ([], images) if isinstance(images, np.ndarray) else (images, None)
    if set(wanted) == {"text"}:
        return named["text"], None
    pairs: list[Raw] = [Pair(*both) for both in zip(named["image"], named["text"], strict=True)]
    return pairs, None


def _column(tensor: Tensor, datatype: str, shape: list[int]) -> Any:
    """Return one input: pixels as they are, or a list of texts or of image files."""
    if tensor.datatype == "BYTES" and len(tensor.data) == (tensor.shape or [1])[0]:
        return [_text(tensor.name, one) for one in tensor.data] if tensor.name == "text" else list(tensor.data)
    if tensor.datatype != datatype or len(tensor.shape) != len(shape) or tensor.shape[1:] != shape[1:]:
        found = f"{tensor.datatype} {tensor.shape}"
        also = " or BYTES [-1]" if datatype != "BYTES" else ""
        raise Refused(400, f"input {tensor.name} is {found}, wanted {datatype} {shape}{also}")
    return tensor.data


def _text(name: str, one: bytes) -> str:
    try:
        return one.decode()
    except UnicodeDecodeError:
        raise Refused(400, f"input {name} has a string that is not valid UTF-8") from None
