"""What is read out of a LiteRT file: its constants, by name, type and reader, and the numbers they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jobs.convert import Stored, float_weights, kernels_in, layer_of, to_litert
from jobs.exporting.stored import stored_layers
from jobs.techniques import Technique
from jobs.techniques.technique import Context

pytestmark = pytest.mark.training


def test_two_weights_a_byte_are_told_apart() -> None:
    stored = Stored("w", "int4", (1, 3), bytes([0x7F, 0x08]), frozenset())
    assert stored.values().tolist() == [[-1, 7, -8]]


def words() -> Any:
    import tf_keras as keras

    tokens = keras.Input((4,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(300, 8, name="embedding")(tokens)
    return keras.Model(tokens, keras.layers.Dense(40, name="logits")(keras.layers.Flatten()(x)))


def test_kernels_are_found_by_what_reads_them_and_what_stays_float_is_named() -> None:
    model, technique = words(), Technique.choose({"kind": "quantize", "scheme": "int4"})
    file = technique.rework(to_litert(model), Context([], "text"))
    kernels = {tensor.type: tensor for tensor in kernels_in(file)}
    assert set(kernels) == {"float32", "int4"}
    dense = model.get_layer("logits").kernel.numpy().T
    scales = np.abs(dense).max(axis=1, keepdims=True) / 7
    assert np.abs(kernels["int4"].values() * scales - dense).max() <= scales.max() * 0.501
    (name,) = float_weights(file, 1024)
    assert layer_of(name, ["logits", "embedding"]) == "embedding"
    assert [(skip.layer, skip.why) for skip in technique.skips(model, file)] == [
        ("embedding", "has no operator with int4 weights: its weights stay float32 in the file")
    ]


def test_bits_and_zeros_of_every_layer_are_read_out_and_zeros_that_were_lost_break_the_promise() -> None:
    model = words()
    dense = model.get_layer("logits")
    kernel, bias = dense.get_weights()
    pruned = np.where(np.arange(kernel.size).reshape(kernel.shape) % 2, kernel, 0)
    dense.set_weights([pruned, bias])
    quantize = Technique.choose({"kind": "quantize", "scheme": "dynamic"})
    file = to_litert(model, lambda converter: quantize.lower(converter, Context([], "text")))
    embedding, logits = stored_layers(file, ["embedding", "logits"])
    assert (embedding.layer, embedding.weights, embedding.bits) == ("embedding", 2400, 8)
    assert (logits.layer, logits.type, logits.bits, logits.weights) == ("logits", "int8", 8, kernel.size)
    assert 0.5 <= logits.zeros < 0.55  # what is nearly nothing is rounded to it
    assert 100 < logits.values < 256
    prune = Technique.choose({"kind": "prune", "sparsity": 0.5})
    assert [(found.what, found.layer, found.kept) for found in prune.promise({}, {"logits/kernel": pruned}, file)] == [
        ("sparsity", "logits", True),
        ("sparsity in the file", "logits", True),
    ]
    dense.set_weights([kernel, bias])
    *_, lost = prune.promise({}, {"logits/kernel": pruned}, to_litert(model))
    assert (lost.what, lost.layer, lost.measured, lost.kept) == ("sparsity in the file", "logits", "0.0000", False)


def test_a_tensor_of_no_known_layer_keeps_its_name() -> None:
    assert layer_of("model/stem_norm/Add;model/stem/Conv2D", ["stem", "logits"]) == "stem"
    assert layer_of("arith.constant7", ["stem"]) == "arith.constant7"
