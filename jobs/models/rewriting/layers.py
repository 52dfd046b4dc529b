"""Applies rewrites to the layers of a functional Keras model, as its config lists them. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from cluster.errors import RequestError
from jobs.artifacts import Rewrite

UNITS = {"Conv1D": "filters", "Conv2D": "filters", "Dense": "units", "Embedding": "output_dim"}  # what says how many
CONVOLUTIONS = ("Conv1D", "Conv2D")
FACTOR = "_factor"


def rewritten(config: Mapping[str, Any], rewrites: Iterable[Rewrite]) -> dict[str, Any]:
    """Return the config of a functional model with its layers as `rewrites` say, one after another.

    RequestError names a layer that is not there, or that cannot be so.
    """
    changed = copy.deepcopy(dict(config))
    for layer in changed["layers"]:
        layer.pop("build_config", None)  # the shapes of the inputs, which may change
    for rewrite in rewrites:
        _apply(changed["layers"], rewrite)
    return changed


def factor_name(layer: str, taken: Iterable[str]) -> str:
    """Return the name of the first of the two layers that `layer` becomes at a rank."""
    names, name = set(taken), f"{layer}{FACTOR}"
    while name in names:
        name += FACTOR
    return name


def _apply(layers: list[dict[str, Any]], rewrite: Rewrite) -> None:
    place = next((index for index, layer in enumerate(layers) if layer["name"] == rewrite.layer), None)
    if place is None:
        raise RequestError(f"rewrite of layer '{rewrite.layer}'", "finds no such layer in the model")
    layer = layers[place]
    config, kind = layer["config"], layer["class_name"]
    if rewrite.rank is not None and kind in UNITS:
        layers.insert(place, _factor(layer, rewrite.rank, [other["name"] for other in layers]))
    elif rewrite.units is not None and kind in UNITS:
        config[UNITS[kind]] = rewrite.units
    elif rewrite.heads is not None and "heads" in config:
        config["heads"] = rewrite.heads
    else:
        raise RequestError(f"rewrite of layer '{rewrite.layer}'", f"finds a {kind}, which has no such size")


def _factor(layer: dict[str, Any], rank: int, taken: list[str]) -> dict[str, Any]:
    """Return the layer of `rank` values that comes before `layer`, which now takes what that gives."""
    first = copy.deepcopy(layer)
    first["name"] = first["config"]["name"] = factor_name(layer["name"], taken)
    first["config"][UNITS[layer["class_name"]]] = rank
    if layer["class_name"] == "Embedding":
        _become_dense(layer)
    else:
        first["config"] |= {"use_bias": False, "activation": "linear"}
    if layer["class_name"] in CONVOLUTIONS:
        ones = [1] * len(layer["config"]["kernel_size"])
        layer["config"] |= {"kernel_size": ones, "strides": ones, "dilation_rate": ones, "padding": "valid"}
    layer["inbound_nodes"] = [[[first["name"], 0, 0, {}]]]
    return first


def _become_dense(layer: dict[str, Any]) -> None:
    """Make of an embedding what brings a row of another to its width."""
    config = layer["config"]
    kept = {name: config[name] for name in ("name", "trainable", "dtype")}
    layer |= {"class_name": "Dense", "config": kept | {"units": config["output_dim"], "use_bias": False}}
