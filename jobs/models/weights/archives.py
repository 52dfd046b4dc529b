"""Reads `.npz` and `.safetensors` files: arrays by our names, nothing unpickled."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import IO, Any

from cluster.errors import RequestError
from jobs.models.weights.shapes import LayerShape, Tensor, Tensors

# What readers of archives raise on bytes that are not what they should be.
MALFORMED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    EOFError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


def read_npz(stream: IO[bytes], path: str, layers: Sequence[LayerShape]) -> Tensors:
    """Read the arrays of an `.npz` by their names in it."""
    return npz_tensors(zipfile.ZipFile(stream))


def npz_tensors(archive: zipfile.ZipFile) -> Tensors:
    """Return the arrays of an `.npz` by name, none of them read yet; one of `MALFORMED` when it is not one."""
    return {info.filename.removesuffix(".npy"): _npz_member(archive, info) for info in archive.infolist()}


def _npz_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Tensor:
    """Read the header of an array; the array itself later, and then no more than the archive has of it."""
    import numpy as np
    from numpy.lib import format as npy

    with archive.open(info) as file:
        if npy.read_magic(file) != (1, 0):  # a later one, for types with many fields, may have a header of gigabytes
            raise ValueError(f"{info.filename} has another header than a plain array's")
        shape, _, dtype = npy.read_array_header_1_0(file)

    def read() -> Any:
        if int(np.prod(shape, dtype=object)) * dtype.itemsize > info.file_size:
            raise ValueError(f"{info.filename} is of shape {shape}, and has {info.file_size} bytes")
        with archive.open(info) as file:
            return npy.read_array(file, allow_pickle=False)

    return Tensor(tuple(shape), dtype.kind, read)


def read_safetensors(stream: IO[bytes], path: str, layers: Sequence[LayerShape]) -> Tensors:
    """Read the arrays of a `.safetensors` file by their names in it."""
    from safetensors import SafetensorError, deserialize

    try:
        views = deserialize(stream.read())  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise RequestError(path, f"is damaged, or no safetensors file ({error})", "a safetensors file") from None
    return {name: _view(f"{path}: weight {name}", view) for name, view in views}


def _view(subject: str, view: dict[str, Any]) -> Tensor:
    import ml_dtypes
    import numpy as np

    floats = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}
    kind = view["dtype"]

    def read() -> Any:
        if kind not in floats:
            raise RequestError(subject, f"is of type {kind}", ", ".join(floats))
        return np.frombuffer(view["data"], floats[kind]).reshape(view["shape"])

    return Tensor(tuple(view["shape"]), "f" if "F" in kind else "i", read)
