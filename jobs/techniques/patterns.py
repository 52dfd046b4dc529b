"""How the zeros of a kernel lie: in blocks, and along its inputs. Kernels are `[..., inputs, outputs]`."""

from __future__ import annotations

from typing import Any


def zero_share(value: Any, height: int, width: int) -> tuple[float, int]:
    """Return the share of blocks of `height` inputs and `width` outputs that are all zero, and how many there are.

    A block of one by one is a weight. What is left at the edges counts as blocks.
    """
    if (height, width) == (1, 1):
        return float((value == 0).mean()), int(value.size)
    blocks = _filled(_filled(value != 0, -2, height), -1, width)
    rows, columns = blocks.shape[-2] // height, blocks.shape[-1] // width
    left = blocks.reshape(-1, rows, height, columns, width).any((2, 4))
    return float(1 - left.mean()), int(left.size)


def most_left(value: Any, of: int) -> int:
    """Return how many weights are not zero among `of` inputs of an output in a row, where most are."""
    left = _filled(value != 0, -2, of)
    rows = left.shape[-2] // of
    return int(left.reshape(*left.shape[:-2], rows, of, left.shape[-1]).sum(-2).max())


def _filled(left: Any, axis: int, size: int) -> Any:
    """Return the array with as many zeros behind `axis` as make it a multiple of `size`."""
    import numpy as np

    behind = [(0, 0)] * left.ndim
    behind[axis] = (0, -left.shape[axis] % size)
    return np.pad(left, behind)
