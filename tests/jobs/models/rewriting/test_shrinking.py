"""Units that go leave a model that computes what the whole one does without them, and costs what was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jobs.data.preprocess import ImageAndText, ImagePixels, Preprocess, WordPieces
from jobs.models.model import ModelSpec, build, load_weights, weights_of
from jobs.models.rewriting.cutting import cut, order
from jobs.models.rewriting.importance import Importance
from jobs.models.rewriting.rebuilding import macs_of, rebuilt
from jobs.models.rewriting.shrinking import at_low_rank, traced, without_units
from tests.rig import TINY

pytestmark = pytest.mark.training

CHANNELS, TOKENS = ImagePixels(height=8, width=8, channels=1), WordPieces(vocabulary=300, length=8)
LARGE = ImagePixels(height=32, width=32, channels=3)
CNN = {"kind": "text_cnn", "vocabulary": 300, "length": 8, "width": 8, "filters": 8}
BERT = {"kind": "bert", "layers": 2, "width": 16, "heads": 4, "feed_forward": 32, "vocabulary": 300, "length": 8}
PAIR = ImageAndText(image=CHANNELS, text=TOKENS)
CASES: dict[str, tuple[dict[str, Any], Preprocess]] = {
    "resnet": (TINY, CHANNELS),
    "bottleneck": (TINY | {"block": "bottleneck"}, CHANNELS),
    "separable": (TINY | {"block": "separable"}, CHANNELS),
    "text_cnn": (CNN, TOKENS),
    "bert": (BERT, TOKENS),
    "pooler": (BERT | {"pooling": "pooler"}, TOKENS),
    "embedding_bag": ({"kind": "embedding_bag", "vocabulary": 300, "length": 8, "width": 8}, TOKENS),
    "mobilenet_v2": ({"kind": "mobilenet_v2", "alpha": 0.35}, LARGE),
    "fusion": ({"kind": "fusion", "image": TINY, "text": CNN, "width": 8}, PAIR),
    "gated": ({"kind": "fusion", "image": TINY, "text": CNN, "fusion": "gated", "modality_dropout": 0.1}, PAIR),
}
KINDS = {
    "resnet": {"channels"},
    "bottleneck": {"channels"},
    "separable": {"channels"},
    "text_cnn": {"channels", "columns"},
    "bert": {"heads", "neurons"},
    "pooler": {"heads", "neurons"},
    "embedding_bag": {"columns"},
    "mobilenet_v2": {"channels"},
    "fusion": {"channels", "columns", "neurons"},
    "gated": {"channels", "columns"},
}


def model_of(name: str) -> Any:
    backbone, preprocess = CASES[name]
    model = build(ModelSpec.model_validate({"backbone": backbone}), preprocess, 5)
    rng = np.random.default_rng(0)
    for variable in model.weights:  # biases and averages that are not zero, too
        variable.assign(rng.uniform(0.1, 1, variable.shape) * (0.3 if "kernel" in variable.name else 1))
    return model


def rows_of(name: str) -> Any:
    rng = np.random.default_rng(1)
    preprocess = CASES[name][1]
    made: dict[str, Any] = {}
    for part in preprocess.parts() if isinstance(preprocess, ImageAndText) else (preprocess,):
        if isinstance(part, ImagePixels):
            made["image"] = rng.uniform(0, 255, [4, part.height, part.width, part.channels]).astype(np.float32)
        else:
            made["tokens"] = rng.integers(1, 300, [4, 8]).astype(np.int32)
    return made if len(made) > 1 else next(iter(made.values()))


@pytest.mark.parametrize("name", CASES)
def test_a_model_without_some_units_computes_what_it_did_with_them_at_zero(name: str) -> None:
    model = model_of(name)
    costs = traced(model)
    flow, weights = costs.flow, weights_of(model)
    assert {group.kind for group in flow.groups.values()} == KINDS[name]
    rng = np.random.default_rng(2)
    kept = {
        root: np.sort(rng.choice(group.units, max(1, group.units // 2), replace=False))
        for root, group in flow.groups.items()
    }
    facts, left = cut(flow, weights, kept)
    small = rebuilt(model, facts)
    load_weights(small, left, "what is left")

    silent = dict(weights)  # what reads a unit that is gone multiplies it by zero
    for reader, parts in flow.reads.items():
        if f"{reader}/kernel" in silent and parts:
            kernel, start = silent[f"{reader}/kernel"].copy(), 0
            for part in parts:
                root, size = flow.root.get(part, part), flow.channels[part]
                if root in kept:
                    width = flow.groups[root].width
                    gone = np.setdiff1d(np.arange(flow.groups[root].units), kept[root])
                    kernel[..., (start + gone[:, None] * width + np.arange(width)).reshape(-1), :] = 0
                start += size
            silent[f"{reader}/kernel"] = kernel
    load_weights(model, silent, "with zeros")
    x = rows_of(name)
    np.testing.assert_allclose(small(x), model(x), rtol=2e-4, atol=1e-5)
    assert costs.of({}).macs == macs_of(model)
    assert costs.of({root: len(units) * flow.groups[root].width for root, units in kept.items()}).macs == macs_of(small)


@pytest.mark.parametrize("scope", ["per_layer", "global"])
@pytest.mark.parametrize("by", ["l1", "l2", "bn_scale", "taylor"])
def test_the_share_that_was_asked_for_is_left_and_little_less(by: Any, scope: Any) -> None:
    model = model_of("resnet")
    x, y = rows_of("resnet"), np.arange(4, dtype=np.int32)
    for of in ("macs", "parameters", "bytes"):
        made = without_units(model, ["channels"], by, scope, of, 0.6, lambda: (x, y))
        share = getattr(made.after, of) / getattr(made.before, of)
        assert 0.45 <= share <= 0.6, of


def test_layers_come_to_multiples_as_far_as_they_can() -> None:
    scores = {"a": np.arange(20.0), "b": np.arange(3.0)}
    assert order(scores, "per_layer", 8) == [
        ("a", [0, 1, 2, 3]),
        ("b", [0]),
        ("a", [4, 5, 6, 7, 8, 9, 10, 11]),
        ("b", [1]),
    ]
    model = model_of("mobilenet_v2")
    made = without_units(model, ["channels"], "l2", "global", "macs", 0.6, lambda: ({}, np.zeros(0, np.int32)), 8)
    left = [fact.units for fact in made.rewrites if fact.units]
    assert left
    assert all(units % 8 == 0 or units < 8 for units in left)
    assert made.after.macs <= 0.6 * made.before.macs


def test_the_least_important_go_first() -> None:
    model = model_of("resnet")
    weights = weights_of(model)
    kernel, scale = "stage1_block1_conv1/kernel", "stage1_block1_conv1_norm/gamma"
    weights[kernel][..., 2] = 0.001
    weights[scale][1] = 0.001
    load_weights(model, weights, "ours")
    x, y = rows_of("resnet"), np.arange(4, dtype=np.int32)
    cases: list[tuple[Importance, int]] = [("l1", 2), ("bn_scale", 1)]
    for by, gone in cases:
        made = without_units(model, ["channels"], by, "global", "macs", 0.999, lambda: (x, y))
        for name in (kernel, scale):
            np.testing.assert_array_equal(made.weights[name], np.delete(weights[name], gone, -1))


def test_a_taylor_expansion_spares_what_the_loss_depends_on() -> None:
    model = model_of("resnet")
    weights = weights_of(model)
    weights["stage1_block1_conv2/kernel"][:, :, [0, 1, 3]] = 0  # nobody reads these: the loss does not change
    weights["stage1_block1_conv1/kernel"][..., 2] *= 0.01  # norms would take this one
    load_weights(model, weights, "ours")
    x, y = rows_of("resnet"), np.arange(4, dtype=np.int32)
    made = without_units(model, ["channels"], "taylor", "global", "macs", 0.99, lambda: (x, y))
    left = made.weights["stage1_block1_conv1/kernel"]
    assert any(
        np.array_equal(left[..., i], weights["stage1_block1_conv1/kernel"][..., 2]) for i in range(left.shape[-1])
    )


def test_a_kernel_of_low_rank_is_two_layers_and_the_same_model() -> None:
    for name, layer, table in (
        ("resnet", "stage3_block1_conv2", "kernel"),
        ("bert", "layer1_intermediate", "kernel"),
        ("bert", "words", "embeddings"),
    ):
        model = model_of(name)
        weights = weights_of(model)
        whole = weights[f"{layer}/{table}"]
        rng = np.random.default_rng(3)
        low = rng.normal(size=[whole.size // whole.shape[-1], 3]) @ rng.normal(size=[3, whole.shape[-1]])
        weights[f"{layer}/{table}"] = (low / 10).reshape(whole.shape).astype(np.float32)
        load_weights(model, weights, "ours")
        form = {"resnet": "convolutions", "bert": "dense"}[name] if table == "kernel" else "embeddings"
        found, made = at_low_rank(model, [form], None, 0.9999999)
        assert {one.layer: one.rank for one in found}[layer] == 3
        small = rebuilt(model, made.rewrites)
        load_weights(small, made.weights, "ours")
        np.testing.assert_allclose(small(rows_of(name)), model(rows_of(name)), rtol=1e-2, atol=1e-3)
        assert made.after.parameters < made.before.parameters


def test_energy_asks_for_a_rank_and_layers_that_would_not_shrink_stay() -> None:
    model = model_of("resnet")
    found, made = at_low_rank(model, ["convolutions"], None, 0.5)
    assert all(one.energy >= 0.5 and one.rank < one.full for one in found)
    assert {fact.layer for fact in made.rewrites} == {one.layer for one in found}
    assert not at_low_rank(model, ["convolutions"], 1000, None)[0]
