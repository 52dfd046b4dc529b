"""Reads pretrained weights from files as plain arrays: HDF5 as Keras writes it, `.npz`, `.safetensors`.

Only arrays are read. What a file says about code (the config of a whole model) is never looked at, nothing is
unpickled, links out of a file are not followed, and an array is read once its shape is known to be the one wanted: a
small file cannot fill the memory.
"""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from cluster.errors import RequestError
from jobs.data import files
from jobs.data.files import name_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

WANTED = "a .h5 or .weights.h5 of Keras, a .npz or a .safetensors file"
TOP = re.compile(r"(predictions|logits|probs|classifier|head|fc\d*|dense(_\d+)?)/")  # how a classification top is named
DEEPEST = 4  # models around models; hard links can make a circle


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


def readable(path: str | None) -> str | None:
    """Return `path`, None when it is empty; ValueError says why weights are not read from a file of its kind."""
    if not path:
        return None
    if name_of(path).endswith(tuple(READERS)):
        return path
    name = name_of(path)
    if name.endswith(".keras"):
        raise ValueError(f"{name} is an archive with code in its config; export its weights: save_weights('x.h5')")
    if name.endswith((".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".npy")):
        raise ValueError(f"{name} may hold pickled code, which is not read; wanted {WANTED}")
    raise ValueError(f"{name} is no weights file; wanted {WANTED}")


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


def weights_in(path: str, layers: Sequence[LayerShape]) -> dict[str, NDArray[Any]]:
    """Read the weights of `layers` from the file at `path` as `float32`, by name (`stem/kernel`).

    RequestError names the tensor that is missing, left over or of another shape. A classification top is left out.
    """
    files.require(path)
    wanted = {f"{layer.name}/{name}": shape for layer in layers for name, shape in layer.weights.items()}
    wanted = {name: shape for name, shape in wanted.items() if shape is not None}
    read = next(reader for suffix, reader in READERS.items() if name_of(path).endswith(suffix))
    with files.open_binary(path) as stream, _refusing(path):
        found = read(stream, path, layers)
        _check(path, found, wanted)
        return {name: _array(path, name, found[name]) for name in wanted}


@contextmanager
def _refusing(path: str) -> Iterator[None]:
    """Turn what readers raise on malformed bytes into a RequestError."""
    try:
        yield
    except RequestError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise RequestError(path, f"is damaged, or no weights file ({error})", WANTED) from None


def _check(path: str, found: Tensors, wanted: Mapping[str, Any]) -> None:
    for name, shape in wanted.items():
        subject = f"{path}: weight {name}"
        if name not in found:
            raise RequestError(subject, "is missing", f"shape {shape}", "a file of the same architecture")
        if found[name].shape != shape:
            raise RequestError(subject, f"has shape {found[name].shape}", str(shape))
        if found[name].type_kind != "f":
            raise RequestError(subject, "does not hold floating-point numbers")
    spare = sorted(name for name in set(found) - set(wanted) if not name.endswith("/count"))
    if strange := [name for name in spare if not TOP.match(name)]:
        raise RequestError(f"{path}: weight {strange[0]}", "belongs to no layer of the backbone")
    if spare:
        log.warning("%s: the classification top is not used: %s", path, ", ".join(spare))


def _array(path: str, name: str, tensor: Tensor) -> NDArray[Any]:
    import numpy as np

    array = np.asarray(tensor.read(), np.float32)
    if not np.isfinite(array).all():
        raise RequestError(f"{path}: weight {name}", "holds NaN or infinity", "finite numbers")
    return array


def _hdf5(stream: IO[bytes], path: str, layers: Sequence[LayerShape]) -> Tensors:
    """Read what `save_weights` or `save` of Keras wrote: layers by name, or by class and order (`.weights.h5`)."""
    import h5py

    root = h5py.File(stream, "r")
    if "model_weights" in root:  # a whole model: its config is code, and is not read
        root = _inside(root, "model_weights", path)
    if "layer_names" in root.attrs or "layer_names0" in root.attrs:
        return _by_name(root, path, layers)
    if "layers" in root:
        return _by_order(root, path, layers)
    raise RequestError(path, f"holds {', '.join(sorted(root)[:5]) or 'nothing'}", "layers, as Keras writes them")


def _by_name(root: Any, path: str, layers: Sequence[LayerShape]) -> Tensors:
    wanted = {f"{layer.name}/{name}" for layer in layers for name in layer.weights}
    found: Tensors = {}
    for group_name in _names(root, "layer_names"):
        group = _inside(root, group_name, path)
        for name in _names(group, "weight_names"):
            key = _our_name(group_name, name.split(":")[0].split("/"), wanted)
            if key in found:
                raise RequestError(f"{path}: weight {key}", "is there twice")
            found[key] = _tensor(_inside(group, name, path), path, key)
    return found


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
            raise RequestError(path, f"names {name}, which it does not hold", WANTED)
        if not isinstance(link, h5py.HardLink):
            raise RequestError(f"{path}: {name}", "is a link", "an array in the file itself")
        group = group[part]
    return group


def _tensor(dataset: Any, path: str, name: str) -> Tensor:
    if dataset.is_virtual or dataset.external:
        raise RequestError(f"{path}: weight {name}", "lies in another file", "an array in the file itself")
    return Tensor(tuple(dataset.shape), dataset.dtype.kind, lambda: dataset[()])


def _npz(stream: IO[bytes], path: str, layers: Sequence[LayerShape]) -> Tensors:
    archive = zipfile.ZipFile(stream)
    return {name.removesuffix(".npy"): _npz_member(archive, name) for name in archive.namelist()}


def _npz_member(archive: zipfile.ZipFile, name: str) -> Tensor:
    """Read the header of an array; the array itself, of whatever its header promises, later."""
    from numpy.lib import format as npy

    def read() -> Any:
        with archive.open(name) as file:
            return npy.read_array(file, allow_pickle=False)

    with archive.open(name) as file:
        old = npy.read_magic(file) == (1, 0)
        shape, _, dtype = npy.read_array_header_1_0(file) if old else npy.read_array_header_2_0(file)
    return Tensor(tuple(shape), dtype.kind, read)


def _safetensors(stream: IO[bytes], path: str, layers: Sequence[LayerShape]) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(stream.read())
    except SafetensorError as error:
        raise RequestError(path, f"is damaged, or no safetensors file ({error})", WANTED) from None
    return {name: Tensor(tuple(a.shape), a.dtype.kind, lambda a=a: a) for name, a in arrays.items()}  # type: ignore[misc]


def _last(name: str) -> str:
    return name.split(":")[0].rsplit("/", 1)[-1]


def _snake_case(name: str) -> str:
    """Return a class's name as Keras writes it into `.weights.h5` files (`conv2d`, `batch_normalization`)."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


READERS = {".h5": _hdf5, ".hdf5": _hdf5, ".npz": _npz, ".safetensors": _safetensors}
