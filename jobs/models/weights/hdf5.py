"""Reads HDF5 files as Keras writes them, with h5py: arrays alone, through no link that leads out of the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import IO, Any

from cluster.errors import RequestError
from jobs.models.weights.shapes import TOP, LayerShape, Tensor, Tensors

DEEPEST = 4  # models around models; hard links can make a circle


def read_hdf5(stream: IO[bytes], path: str, layers: Sequence[LayerShape]) -> Tensors:
    """Read what `save_weights` or `save` of Keras wrote: layers by name, or by class and order (`.weights.h5`)."""
    import h5py

    root = h5py.File(stream, "r")
    _refuse_code(root, path)
    if "model_weights" in root:  # a whole model
        root = _inside(root, "model_weights", path)
    if "layer_names" in root.attrs or "layer_names0" in root.attrs:
        return _by_name(root, path, layers)
    if "layers" in root:
        return _by_order(root, path, layers)
    raise RequestError(path, f"holds {', '.join(sorted(root)[:5]) or 'nothing'}", "layers, as Keras writes them")


def _refuse_code(root: Any, path: str) -> None:
    """Refuse the file of a whole model that has Lambda layers: without their code its weights are of another model."""
    config = root.attrs.get("model_config", "")
    text = config.decode("utf-8", "replace") if isinstance(config, bytes) else str(config)
    if re.search(r'"class_name":\s*"Lambda"', text):
        found = "is of a model with a Lambda layer, which is code"
        raise RequestError(path, found, "weights of layers alone", "rebuild the model without it and save its weights")


def _by_name(root: Any, path: str, layers: Sequence[LayerShape]) -> Tensors:
    groups = [(name, _names(_inside(root, name, path), "weight_names")) for name in _names(root, "layer_names")]
    wanted = {f"{layer.name}/{name}" for layer in layers for name in layer.weights}
    keys = {(group, w): _our_name(group, w.split(":")[0].split("/"), wanted) for group, names in groups for w in names}
    if not wanted <= set(keys.values()):
        keys |= _in_order([(group, names) for group, names in groups if names], layers)
    found: Tensors = {}
    for (group, name), key in keys.items():
        if key in found:
            raise RequestError(f"{path}: weight {key}", "is there twice")
        found[key] = _tensor(_inside(root[group], name, path), path, key)
    return found


def _in_order(groups: Sequence[tuple[str, list[str]]], layers: Sequence[LayerShape]) -> dict[tuple[str, str], str]:
    """Return our names by position, as Keras itself loads files, when the layers' numbers of weights are the same.

    Layers were renamed between releases of Keras; the shapes are still checked one by one.
    """
    groups = [(group, names) for group, names in groups if not TOP.match(f"{group}/")]
    if [len(names) for _, names in groups] != [len(layer.weights) for layer in layers]:
        return {}
    return {
        (group, weight): f"{layer.name}/{name}"
        for (group, weights), layer in zip(groups, layers, strict=True)
        for weight, name in zip(weights, layer.weights, strict=True)
    }


def _names(group: Any, attribute: str) -> list[str]:
    """Return a list of names; Keras splits one that is too long for HDF5 into `<attribute>0`, `<attribute>1`, …"""
    parts = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(f"{attribute}{len(parts)}")
    names = [name for part in parts for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _our_name(group: str, parts: Sequence[str], wanted: set[str]) -> str:
    """Return `layer/weight` for a weight called `parts` in `group`, which is its layer or a model around its layer."""
    candidates = [group, *reversed(parts[:-1])]
    candidates += [re.sub(r"_\d+$", "", name) for name in candidates]
    for layer in candidates:
        if f"{layer}/{parts[-1]}" in wanted:
            return f"{layer}/{parts[-1]}"
    return "/".join(parts) if len(parts) > 1 else f"{group}/{parts[0]}"


def _by_order(root: Any, path: str, layers: Sequence[LayerShape]) -> Tensors:
    for _ in range(DEEPEST):
        if "functional" in root["layers"]:  # a model around the backbone
            root = _inside(root, "layers/functional", path)
    expected: dict[str, str] = {}
    counts: dict[str, int] = {}
    for layer in layers:
        count = counts[layer.kind] = counts.get(layer.kind, 0) + 1
        place = layer.kind if count == 1 else f"{layer.kind}_{count - 1}"
        expected |= {f"{place}/vars/{i}": f"{layer.name}/{name}" for i, name in enumerate(layer.weights)}
    found: Tensors = {}
    for place in _datasets(root["layers"]):
        key = expected.get(place, place)
        found[key] = _tensor(_inside(root["layers"], place, path), path, key)
    return found


def _datasets(group: Any) -> list[str]:
    import h5py

    names: list[str] = []
    group.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def _inside(group: Any, name: str, path: str) -> Any:
    """Return what `name` leads to below `group`, through no link that could lead to another file."""
    import h5py

    for part in name.split("/"):
        link = group.get(part, getlink=True)
        if link is None:
            raise RequestError(path, f"names {name}, which it does not hold", "layers, as Keras writes them")
        if not isinstance(link, h5py.HardLink):
            raise RequestError(f"{path}: {name}", "is a link", "an array in the file itself")
        group = group[part]
    return group


def _tensor(dataset: Any, path: str, name: str) -> Tensor:
    if dataset.is_virtual or dataset.external:
        raise RequestError(f"{path}: weight {name}", "lies in another file", "an array in the file itself")
    return Tensor(tuple(dataset.shape), dataset.dtype.kind, lambda: dataset[()])
