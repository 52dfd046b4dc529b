"""What a LiteRT file stores of each layer: how many bits a weight, how many zeros, how many different values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from jobs.convert import KERNEL_READERS, NUMBERS, constants, layer_of
from jobs.exporting.forms import StoredLayer

BITS = {"float32": 32, "float16": 16, "int8": 8, "int4": 4}
READERS = KERNEL_READERS | {"DEPTHWISE_CONV_2D"}


def stored_layers(file: bytes, layers: Sequence[str]) -> Iterator[StoredLayer]:
    """Yield the kernels and embeddings of a file, in the order of `layers`, the names a model gives its own."""
    places = {name: place for place, name in enumerate(layers)}
    found = [
        StoredLayer(
            layer=layer_of(tensor.name, layers),
            type=tensor.type,
            bits=BITS[tensor.type],
            weights=tensor.elements,
            zeros=tensor.zeros(),
            values=len(np.unique(tensor.values())),
        )
        for tensor in constants(file)
        if tensor.type in NUMBERS and len(tensor.shape) > 1 and tensor.operators & READERS
    ]
    yield from sorted(found, key=lambda one: places.get(one.layer, len(places)))
