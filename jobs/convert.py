"""Turns a Keras model into the LiteRT file that is served."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Lower = Callable[[Any], None]


def to_litert(model: Any, lower: Lower | None = None) -> bytes:
    """Convert `model` (rows in, logits out) to a LiteRT flatbuffer; `lower` sets the converter's options first."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if lower is not None:
        lower(converter)
    return bytes(converter.convert())


def weight_bytes_by_type(file: bytes, least: int = 1) -> dict[str, int]:
    """Return the bytes of a LiteRT file's constant tensors of `least` elements or more, by type (`float32`, …)."""
    model, names = _parsed(file)
    totals: dict[str, int] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None and math.prod(tensor.shape if tensor.shape is not None else ()) >= least:
                totals[names[tensor.type]] = totals.get(names[tensor.type], 0) + len(data)
    return totals


def pixel_scales(file: bytes) -> dict[str, tuple[float, int]]:
    """Return (scale, zero point) of each `uint8` input of a LiteRT file by the tensor's name."""
    model, names = _parsed(file)
    graph = model.subgraphs[0]
    pixels = [graph.tensors[i] for i in graph.inputs if names[graph.tensors[i].type] == "uint8"]
    return {
        tensor.name.decode(): (float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0]))
        for tensor in pixels
    }


def _parsed(file: bytes) -> tuple[Any, dict[int, str]]:
    """Return a LiteRT file's contents, and the names of its types by number."""
    from tensorflow.lite.python import schema_py_generated as schema

    names = {v: k.lower() for k, v in vars(schema.TensorType).items() if not k.startswith("_")}
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(file, 0)), names
