"""The Open Inference Protocol v2 over HTTP: its documents, and tensors in JSON or behind it (binary tensor data)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from jobs.serving.answering.messages import Response, as_json
from jobs.serving.answering.tensors import Inference, Tensor, from_raw, from_values, packed
from jobs.serving.limits import Limits
from jobs.serving.refused import Refused
from jobs.serving.versions.version import Version

HEADER = b"inference-header-content-length"


def server() -> dict[str, Any]:
    """Return the server's metadata."""
    return {"name": "espalier", "version": "2", "extensions": ["binary_tensor_data"]}


def metadata(name: str, version: Version, versions: list[str]) -> dict[str, Any]:
    """Return a model's metadata."""
    inputs = [{"name": one, "datatype": kind, "shape": shape} for one, (kind, shape) in version.tensors.items()]
    outputs = [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(version.classifier.model.classes)]},
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
    ]
    return {"name": name, "versions": versions, "platform": "litert", "inputs": inputs, "outputs": outputs}


class Wanted:
    """What the client wants back: which outputs, and which of them packed."""

    def __init__(self, asked: Inference, binary: dict[str, bool], default: bool) -> None:
        self.asked, self.binary, self.default = asked, binary, default


def read(body: bytes, header: str, limits: Limits) -> Wanted:
    """Return the inference a body asks for; `header` is the length of its JSON where tensors follow it."""
    length = len(body)
    if header:
        if not header.isdecimal() or int(header[:12]) > length:
            raise Refused(400, "Inference-Header-Content-Length is not the length of the JSON")
        length = int(header[:12])
    try:
        document = json.loads(body[:length])
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise Refused(400, 'the body has no list of "inputs"')
    identity = document.get("id", "")
    if not isinstance(identity, str):
        raise Refused(400, "the id is not a string")
    asked, rest = Inference(identity), memoryview(body)[length:]
    for given in document["inputs"]:
        tensor, rest = _input(given, rest, limits)
        if tensor.name in asked.inputs:
            raise Refused(400, f"input {tensor.name[:64]} is given twice")
        asked.inputs[tensor.name] = tensor
    if rest:
        raise Refused(400, f"{len(rest)} bytes follow the last tensor")
    return _outputs(document, asked)


def _input(given: Any, rest: memoryview, limits: Limits) -> tuple[Tensor, memoryview]:
    if not isinstance(given, dict):
        raise Refused(400, "an input is not an object")
    if not isinstance(given.get("name"), str) or not isinstance(given.get("shape"), list):
        raise Refused(400, "an input has no name or no shape")
    name, datatype, parameters = given["name"], given.get("datatype"), _parameters(given)
    if not isinstance(datatype, str):
        raise Refused(400, f"input {name[:64]} has no datatype")
    size = parameters.get("binary_data_size")
    if size is None:
        if "data" not in given:
            raise Refused(400, f"input {name[:64]} has no data")
        return from_values(name, datatype, given["shape"], given["data"], limits), rest
    if type(size) is not int or not 0 <= size <= len(rest):
        raise Refused(400, f"input {name[:64]} has a binary_data_size that is not in the body")
    return from_raw(name, datatype, given["shape"], rest[:size], limits), rest[size:]


def _parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    found = given.get("parameters", {})
    if not isinstance(found, dict):
        raise Refused(400, "parameters are not an object")
    return found


def _outputs(document: dict[str, Any], asked: Inference) -> Wanted:
    default = _parameters(document).get("binary_data_output") is True
    outputs = document.get("outputs", [])
    if not isinstance(outputs, list):
        raise Refused(400, "outputs are not a list")
    binary: dict[str, bool] = {}
    for one in outputs:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise Refused(400, "an output has no name")
        parameters = _parameters(one)
        if parameters.get("classification"):
            raise Refused(400, "the classification extension is not there: ask POST /v1/classify with top")
        binary[one["name"]] = parameters.get("binary_data", default) is True
    asked.outputs = list(binary)
    return Wanted(asked, binary, default)


def written(name: str, version: Version, wanted: Wanted, outputs: dict[str, NDArray[Any]]) -> Response:
    """Return the response with the outputs, packed behind the JSON or in it."""
    document: dict[str, Any] = {"model_name": name, "model_version": version.name}
    if wanted.asked.id:
        document["id"] = wanted.asked.id
    tail = []
    described = []
    for output, array in outputs.items():
        one: dict[str, Any] = {
            "name": output,
            "datatype": "BYTES" if array.dtype == object else "FP32",
            "shape": list(array.shape),
        }
        if wanted.binary.get(output, wanted.default):
            tail.append(packed(array))
            one["parameters"] = {"binary_data_size": len(tail[-1])}
        elif array.dtype == object:
            one["data"] = [item.decode() for item in array.tolist()]
        else:
            one["data"] = array.ravel().tolist()
        described.append(one)
    response = as_json({**document, "outputs": described})
    if tail:
        response.headers.append((HEADER, str(len(response.body)).encode()))
        response.body = b"".join([response.body, *tail])
        response.kind = b"application/octet-stream"
    return response
