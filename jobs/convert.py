"""Turns a Keras model into the LiteRT file that is served."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMBERS = ("float32", "float16", "int8", "int4")
KERNEL_READERS = frozenset({"CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "GATHER", "EMBEDDING_LOOKUP"})

Lower = Callable[[Any], None]


def to_litert(model: Any, lower: Lower | None = None) -> bytes:
    """Convert `model` (rows in, logits out) to a LiteRT flatbuffer; `lower` sets the converter's options first.

    The converter's own way from a Keras model imports Keras 3 to see that it is none, and traces what each layer would
    save: it takes twice as long or more, to the same operators and constants.
    """
    import tensorflow as tf

    inputs = [tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name) for tensor in model.inputs]

    @tf.function(input_signature=inputs, autograph=False)  # type: ignore[untyped-decorator]
    def served(*rows: Any) -> Any:
        answered = model(rows[0] if len(rows) == 1 else list(rows), training=False)
        return dict(zip(model.output_names, tf.nest.flatten(answered), strict=True))

    module, concrete = tf.Module(), served.get_concrete_function()
    module.served, module.held = served, [*model.variables, *concrete.graph.variables]
    with tempfile.TemporaryDirectory(prefix="espalier-") as folder:
        try:
            tf.saved_model.save(module, folder, concrete)
        except AssertionError:  # a module from elsewhere, whose resources only the model itself keeps track of
            module.held = model
            tf.saved_model.save(module, folder, concrete)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if lower is not None:
            lower(converter)
        return bytes(converter.convert())


@dataclass(frozen=True)
class Stored:
    """A constant tensor of a LiteRT file; `operators` are those that read it, through a dequantization too."""

    name: str
    type: str  # float32, int8, int4, …
    shape: tuple[int, ...]
    data: bytes
    operators: frozenset[str]
    scales: int = 0  # of a quantized one: one for all of it, or one a channel
    zero: int = 0  # the integer that stands for 0

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    def values(self) -> NDArray[Any]:
        """Return the numbers as they are stored: of quantized ones, the integers."""
        if self.type == "int4":  # two a byte, the lower half first; sign in each half's highest bit
            pairs = np.frombuffer(self.data, np.int8)
            halves = np.stack([np.left_shift(pairs, 4) >> 4, pairs >> 4], axis=-1)
            return halves.reshape(-1)[: self.elements].reshape(self.shape)
        return np.frombuffer(self.data, self.type).reshape(self.shape)

    def zeros(self) -> float:
        """Return the share of the numbers that stand for 0."""
        return float((self.values() == self.zero).mean())


def constants(file: bytes) -> Iterator[Stored]:
    """Yield the constant tensors of a LiteRT file, biases and shapes too."""
    model, names = _parsed(file)
    for graph in model.subgraphs:
        readers = _readers(model, graph)
        for index, tensor in enumerate(graph.tensors):
            data = model.buffers[tensor.buffer].data
            if data is not None:
                shape = tuple(int(n) for n in tensor.shape) if tensor.shape is not None else ()
                found = tensor.quantization.scale if tensor.quantization is not None else None
                scales = 0 if found is None else len(found)
                zero = int(tensor.quantization.zeroPoint[0]) if scales else 0
                name, kind = tensor.name.decode(), names[tensor.type]
                yield Stored(name, kind, shape, bytes(data), _through(index, readers), scales, zero)


def _readers(model: Any, graph: Any) -> dict[int, list[tuple[str, int]]]:
    """Return (operator, its first output) of all that read a tensor, by the tensor's index."""
    from tensorflow.lite.python import schema_py_generated as schema

    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    readers: dict[int, list[tuple[str, int]]] = {}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        for index in operator.inputs:
            readers.setdefault(int(index), []).append((name, int(operator.outputs[0])))
    return readers


def _through(index: int, readers: dict[int, list[tuple[str, int]]]) -> frozenset[str]:
    found: set[str] = set()
    for name, output in readers.get(index, []):
        found |= _through(output, readers) if name == "DEQUANTIZE" else {name}
    return frozenset(found)


def weight_bytes_by_type(file: bytes, least: int = 1, operators: Iterable[str] | None = None) -> dict[str, int]:
    """Return the bytes of a LiteRT file's constant tensors of `least` elements or more, by type (`float32`, …).

    With `operators`, of those that one of these reads.
    """
    totals: dict[str, int] = {}
    for tensor in constants(file):
        if tensor.elements >= least and (operators is None or tensor.operators & {*operators}):
            totals[tensor.type] = totals.get(tensor.type, 0) + len(tensor.data)
    return totals


def kernels_in(file: bytes) -> Iterator[Stored]:
    """Yield the kernels and embeddings of a LiteRT file, their outputs along the first axis; not depthwise ones."""
    found = constants(file)
    yield from (t for t in found if len(t.shape) > 1 and t.operators & KERNEL_READERS and t.type in NUMBERS)


def float_weights(file: bytes, least: int) -> list[str]:
    """Return the names of the `float32` constants of two dimensions or more and `least` elements or more."""
    found = constants(file)
    return [t.name for t in found if t.type == "float32" and len(t.shape) > 1 and t.elements >= least]


def layer_of(tensor: str, layers: Sequence[str]) -> str:
    """Return which of `layers` a tensor of a file belongs to by its name, or that name."""
    parts = re.split("[/;]", tensor)
    return next((name for name in layers if name in parts), tensor)


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
