"""From a weights file to arrays that fit a backbone: HDF5 as Keras writes it, `.npz`, `.safetensors`.

Only arrays are read. What a file says about code (the config of a whole model) is never acted on, nothing is
unpickled, links out of a file are not followed, and an array is read once its shape is known to be the one wanted: a
small file cannot fill the memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cluster.errors import RequestError
from jobs.data import files
from jobs.data.files import name_of
from jobs.models.weights.archives import MALFORMED, read_npz, read_safetensors
from jobs.models.weights.hdf5 import read_hdf5
from jobs.models.weights.shapes import TOP, LayerShape, Tensor, Tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

WANTED = "a .h5 or .weights.h5 of Keras, a .npz or a .safetensors file"
READERS = {".h5": read_hdf5, ".hdf5": read_hdf5, ".npz": read_npz, ".safetensors": read_safetensors}


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
    except MALFORMED as error:
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
