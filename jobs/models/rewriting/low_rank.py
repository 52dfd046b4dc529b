"""Brings the kernels of layers to low ranks: the two factors of a truncated singular value decomposition of each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.artifacts import Rewrite
from jobs.models.rewriting.layers import factor_name

TABLES = {"Conv1D": "kernel", "Conv2D": "kernel", "Dense": "kernel", "Embedding": "embeddings"}
FORMS = {"Conv1D": "convolutions", "Conv2D": "convolutions", "Dense": "dense", "Embedding": "embeddings"}


@dataclass(frozen=True)
class Factored:
    """One layer at a rank: how much of the energy (the sum of squared singular values) of its kernel is left."""

    layer: str
    rank: int
    full: int
    energy: float


def factored(
    config: Mapping[str, Any],
    weights: Mapping[str, Any],
    forms: Collection[str],
    rank: int | None,
    energy: float | None,
) -> tuple[list[Factored], list[Rewrite], dict[str, Any]]:
    """Return the layers brought to `rank`, or to the least rank with this share of `energy`; the facts; the weights.

    A layer is left as it is where that would make it no smaller. A convolution becomes one of `rank` channels with its
    kernel size and one of 1 by 1 behind it (Zhang et al., 2016); an embedding, a narrower one and a product.
    """
    found: list[Factored] = []
    made, left = [], dict(weights)
    names = [layer["name"] for layer in config["layers"]]
    for name, form, table in _candidates(config["layers"], forms):
        kernel = weights[f"{name}/{table}"]
        matrix = kernel.reshape(-1, kernel.shape[-1])
        first, second, one = _truncated(name, matrix, rank, energy)
        if first.size + second.size >= matrix.size:
            continue
        factor = factor_name(name, names)
        names.append(factor)
        del left[f"{name}/{table}"]
        left[f"{factor}/{table}"] = first.reshape(*kernel.shape[:-1], one.rank)
        ones = [1] * (kernel.ndim - 2) if form == "convolutions" else []
        left[f"{name}/kernel"] = second.reshape(*ones, *second.shape)
        found.append(one)
        made.append(Rewrite(layer=name, rank=one.rank))
    return found, made, left


def _candidates(layers: Sequence[Mapping[str, Any]], forms: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (name, form, name of the kernel) of every layer that can be two."""
    for layer in layers:
        kind, config = layer["class_name"], layer["config"]
        if FORMS.get(kind) in forms and config.get("groups", 1) == 1 and len(layer["inbound_nodes"]) == 1:
            yield layer["name"], FORMS[kind], TABLES[kind]


def _truncated(
    layer: str, matrix: NDArray[Any], rank: int | None, energy: float | None
) -> tuple[NDArray[Any], NDArray[Any], Factored]:
    """Return the factors of the best approximation of `matrix` at the rank (Eckart & Young, 1936)."""
    left, values, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    shares = np.cumsum(values**2) / max(float(np.sum(values**2)), np.finfo(np.float64).tiny)
    if energy is not None:
        rank = int(np.searchsorted(shares, energy - 1e-12)) + 1
    assert rank is not None
    rank = min(rank, len(values))
    root = np.sqrt(values[:rank])  # half of each value to either side, so that both train at like rates
    first, second = left[:, :rank] * root, root[:, None] * right[:rank]
    return (
        first.astype(np.float32),
        second.astype(np.float32),
        Factored(layer, rank, len(values), float(shares[rank - 1])),
    )
