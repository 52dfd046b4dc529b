"""What a weights file is compared with: layers as files hold them, and arrays in a file that are not read yet."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TOP = re.compile(r"(?i)(predictions|logits|probs|classifier|head|fc\d*|dense(_\d+)?)/")  # a classification top's names


@dataclass(frozen=True)
class LayerShape:
    """A layer as a weights file holds it: its class in snake case, its name, the shapes of its weights in order.

    The shape is None for what is no weight (a counter of rows seen).
    """

    kind: str
    name: str
    weights: dict[str, tuple[int, ...] | None]


@dataclass(frozen=True)
class Tensor:
    """An array in a file that is not read yet; `type_kind` is numpy's letter for its type (`f`: floating)."""

    shape: tuple[int, ...]
    type_kind: str
    read: Callable[[], Any]


Tensors = dict[str, Tensor]


def layers_of(model: Any) -> list[LayerShape]:
    """Return the layers of a Keras model that have weights, in its order; names made up by Keras lose their number."""
    found = []
    for layer in model.layers:
        kind = _snake_case(type(layer).__name__)
        name = kind if re.fullmatch(rf"{kind}_\d+", layer.name) else layer.name
        shapes = {_last(v.name): tuple(v.shape) if v.dtype.is_floating else None for v in layer.weights}
        if shapes:
            found.append(LayerShape(kind, name, shapes))
    return found


def _last(name: str) -> str:
    return name.split(":")[0].rsplit("/", 1)[-1]


def _snake_case(name: str) -> str:
    """Return a class's name as Keras writes it into `.weights.h5` files (`conv2d`, `batch_normalization`)."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
