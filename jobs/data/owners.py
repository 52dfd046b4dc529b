"""Whose each row is, where a data set says so: a column beside the shard, as numbers, and the owners' names."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import StepError
from cluster.folder import Folder

FILE = "train.owner.int32"  # int32, little-endian, one a training row: an index into the data set's owners


def write_owners(path: Path, owners: array[int], names: Mapping[str, int]) -> list[str]:
    """Write whose each training row is into the folder `path` and return the names in order.

    `owners` are numbers in `names`, which are in the order they came; on disk they follow the names' own order.
    """
    ordered = sorted(names)
    order = np.array([ordered.index(name) for name in names], "<i4")
    (path / FILE).write_bytes(order[np.frombuffer(owners, np.int32)].tobytes())
    return ordered


def read_owners(folder: Folder, rows: int, names: list[str]) -> NDArray[np.int32]:
    """Return the number of the owner of each of the `rows` training rows; StepError when the data set tells none."""
    if not names:
        raise StepError("the data set", "does not say whose its rows are", "owners", "set client in its table source")
    owners: NDArray[Any] = np.frombuffer(folder.read_bytes(FILE), "<i4")
    assert len(owners) == rows, f"{len(owners)} owners of {rows} rows"
    return owners
