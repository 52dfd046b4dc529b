"""The messages of `inference.GRPCInferenceService`, described here rather than generated: one list of fields each.

Numbers and names are those of the protocol (github.com/kserve/open-inference-protocol). The descriptors lie in a pool
of their own, so that a client's generated ones may live in the same process.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
STRING, BYTES, BOOL, INT32, INT64, UINT32, UINT64, FLOAT, DOUBLE = 9, 12, 8, 5, 3, 13, 4, 2, 1
Fields = list[tuple[str, int, int | str, bool]]  # name, number, type or message, whether repeated
ONE_OF = "parameter_choice"

PARAMETER: Fields = [
    ("bool_param", 1, BOOL, False),
    ("int64_param", 2, INT64, False),
    ("string_param", 3, STRING, False),
    ("double_param", 4, DOUBLE, False),
    ("uint64_param", 5, UINT64, False),
]
CONTENTS: Fields = [
    ("bool_contents", 1, BOOL, True),
    ("int_contents", 2, INT32, True),
    ("int64_contents", 3, INT64, True),
    ("uint_contents", 4, UINT32, True),
    ("uint64_contents", 5, UINT64, True),
    ("fp32_contents", 6, FLOAT, True),
    ("fp64_contents", 7, DOUBLE, True),
    ("bytes_contents", 8, BYTES, True),
]
NAMED: Fields = [("name", 1, STRING, False), ("version", 2, STRING, False)]
DESCRIBED: Fields = [("name", 1, STRING, False), ("datatype", 2, STRING, False), ("shape", 3, INT64, True)]
TENSOR: Fields = [*DESCRIBED, ("parameters", 4, "map", True), ("contents", 5, "InferTensorContents", False)]
MESSAGES: dict[str, Fields] = {
    "ServerLiveRequest": [],
    "ServerLiveResponse": [("live", 1, BOOL, False)],
    "ServerReadyRequest": [],
    "ServerReadyResponse": [("ready", 1, BOOL, False)],
    "ModelReadyRequest": NAMED,
    "ModelReadyResponse": [("ready", 1, BOOL, False)],
    "ServerMetadataRequest": [],
    "ServerMetadataResponse": [*NAMED, ("extensions", 3, STRING, True)],
    "ModelMetadataRequest": NAMED,
    "ModelMetadataResponse.TensorMetadata": DESCRIBED,
    "ModelMetadataResponse": [
        ("name", 1, STRING, False),
        ("versions", 2, STRING, True),
        ("platform", 3, STRING, False),
        ("inputs", 4, "ModelMetadataResponse.TensorMetadata", True),
        ("outputs", 5, "ModelMetadataResponse.TensorMetadata", True),
    ],
    "InferParameter": PARAMETER,
    "InferTensorContents": CONTENTS,
    "ModelInferRequest.InferInputTensor": TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": [("name", 1, STRING, False), ("parameters", 2, "map", True)],
    "ModelInferRequest": [
        ("model_name", 1, STRING, False),
        ("model_version", 2, STRING, False),
        ("id", 3, STRING, False),
        ("parameters", 4, "map", True),
        ("inputs", 5, "ModelInferRequest.InferInputTensor", True),
        ("outputs", 6, "ModelInferRequest.InferRequestedOutputTensor", True),
        ("raw_input_contents", 7, BYTES, True),
    ],
    "ModelInferResponse.InferOutputTensor": TENSOR,
    "ModelInferResponse": [
        ("model_name", 1, STRING, False),
        ("model_version", 2, STRING, False),
        ("id", 3, STRING, False),
        ("parameters", 4, "map", True),
        ("outputs", 5, "ModelInferResponse.InferOutputTensor", True),
        ("raw_output_contents", 6, BYTES, True),
    ],
}
METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")


@cache
def messages() -> dict[str, Any]:
    """Return the class of each message by its name."""
    file = descriptor_pb2.FileDescriptorProto(name="espalier/inference.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, Any] = {}
    for name in sorted(MESSAGES, key=lambda name: name.count(".")):
        outer, _, inner = name.rpartition(".")
        described = made[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=name)
        made[name] = described
        for field in MESSAGES[name]:
            _field(described, name, *field)
        if name == "InferParameter":
            described.oneof_decl.add(name=ONE_OF)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES}


def _field(described: Any, message: str, name: str, number: int, kind: int | str, repeated: bool) -> None:
    field = described.field.add(name=name, number=number, label=3 if repeated else 1)
    if kind == "map":
        entry = described.nested_type.add(name="ParametersEntry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=1, type=STRING)
        entry.field.add(name="value", number=2, label=1, type=11, type_name=f".{PACKAGE}.InferParameter")
        kind = f"{message}.ParametersEntry"
    if isinstance(kind, str):
        field.type, field.type_name = 11, f".{PACKAGE}.{kind}"
        return
    field.type = kind
    if message == "InferParameter":
        field.oneof_index = 0
