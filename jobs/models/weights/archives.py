"""Reads `.npz` and `.safetensors` files: arrays by our names, nothing unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from typing import IO, Any

from cluster.errors import RequestError
from jobs.models.weights.shapes import LayerShape, Tensor, Tensors


def read_npz(stream: IO[bytes], path: str, layers: Sequence[LayerShape]) -> Tensors:
    """Read the arrays of an `.npz` by their names in it."""
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


def read_safetensors(stream: IO[bytes], path: str, layers: Sequence[LayerShape]) -> Tensors:
    """Read the arrays of a `.safetensors` file by their names in it."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(stream.read())
    except SafetensorError as error:
        raise RequestError(path, f"is damaged, or no safetensors file ({error})", "a safetensors file") from None
    return {name: Tensor(tuple(a.shape), a.dtype.kind, lambda a=a: a) for name, a in arrays.items()}  # type: ignore[misc]
