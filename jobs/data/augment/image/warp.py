"""Moves pixels: by whole pixels (`shift`) and by an affine map with bilinear sampling (`warp`)."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from jobs.data.augment.augment import FILL_VALUES, Fill

Pixels = NDArray[np.float32]
CHUNK = 1 << 14  # pixels warped at once: larger arrays leave the cache, and glibc maps and returns each of them anew


def shift(x: Pixels, down: NDArray[np.int64], right: NDArray[np.int64], fill: Fill) -> Pixels:
    """Return `x` with each row's image moved `down[row]` and `right[row]` whole pixels."""
    rows, height, width, channels = x.shape
    if not rows:
        return x
    y, z = int(np.abs(down).max()), int(np.abs(right).max())
    padding = ((0, 0), (y, y), (z, z), (0, 0))
    if fill in FILL_VALUES:
        padded = np.pad(x, padding, constant_values=FILL_VALUES[fill])
    else:
        padded = np.pad(x, padding, mode="reflect" if fill == "reflect" else "edge")
    # Every window of a padded image, its lines whole: choosing one a row then copies line by line.
    a, b, c, d = padded.strides
    windows = as_strided(padded, (rows, 2 * y + 1, 2 * z + 1, height, width * channels), (a, b, c, b, d))
    return windows[np.arange(rows), y - down, z - right].reshape(x.shape)


def affine(
    rows: int,
    *,
    turn: NDArray[np.float32] | float = 0.0,
    enlarge: NDArray[np.float32] | float = 1.0,
    shear: tuple[NDArray[np.float32] | float, NDArray[np.float32] | float] = (0.0, 0.0),
    move: tuple[NDArray[np.float32] | float, NDArray[np.float32] | float] = (0.0, 0.0),
) -> NDArray[np.float32]:
    """Return `float32[rows, 2, 3]`, from the pixel (y, x) of the result, seen from its centre, to the source's.

    `turn` is in radians against the clock, `enlarge` a factor, `shear` and `move` (in pixels) are (down, right).
    """
    matrix = np.zeros((rows, 2, 3), np.float32)
    cosine, sine = np.cos(turn) / enlarge, np.sin(turn) / enlarge
    matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 0, 2] = cosine, sine - shear[0], -np.asarray(move[0])
    matrix[:, 1, 0], matrix[:, 1, 1], matrix[:, 1, 2] = -sine - shear[1], cosine, -np.asarray(move[1])
    return matrix


def warp(x: Pixels, matrix: NDArray[np.float32], fill: Fill) -> Pixels:
    """Return `x` sampled bilinearly where `matrix` (see `affine`) says.

    The fill `reflect` mirrors the image once, and repeats its edge beyond that.
    """
    out = np.empty_like(x)
    chunk = max(1, CHUNK // (x.shape[1] * x.shape[2]))
    for start in range(0, len(x), chunk):
        rows = slice(start, start + chunk)
        _warp(x[rows], matrix[rows], fill, out[rows])
    return np.clip(out, 0, 255, out=out)  # rounding may pass the ends by a hair


def _warp(x: Pixels, matrix: NDArray[np.float32], fill: Fill, out: Pixels) -> None:
    rows, height, width, channels = x.shape
    padded = np.full((rows, height + 2, width + 2, channels), FILL_VALUES.get(fill, 0.0), np.float32)
    padded[:, 1:-1, 1:-1] = x
    y = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
    z = np.arange(width, dtype=np.float32) - (width - 1) / 2
    top, down = _split(_along(matrix[:, 0], y, z), height, fill)
    left, right = _split(_along(matrix[:, 1], y, z), width, fill)
    first = top * (width + 2) + left + (np.arange(rows) * (height + 2) * (width + 2))[:, None, None]
    below = first + (width + 2)
    for channel in range(channels):  # plane by plane: whole arrays of one kind of number are what NumPy is fast on
        plane = padded[..., channel].reshape(-1)
        upper = _blended(plane.take(first, mode="clip"), plane.take(first + 1, mode="clip"), right)
        lower = _blended(plane.take(below, mode="clip"), plane.take(below + 1, mode="clip"), right)
        out[..., channel] = _blended(upper, lower, down)


def _along(line: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the source's coordinate `float32[rows, height, width]`, seen from its centre."""
    scaled = line[:, :, None, None]
    return scaled[:, 0] * y + scaled[:, 1] * z + scaled[:, 2]


def _split(place: NDArray[np.float32], size: int, fill: Fill) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return (index into the padded image, share of the pixel after it) of coordinates seen from the centre."""
    place += (size - 1) / 2
    if fill in FILL_VALUES:
        np.clip(place, -1, size, out=place)
    else:
        if fill == "reflect":
            np.abs(place, out=place)
            np.subtract(size - 1, np.abs(size - 1 - place), out=place)
        np.clip(place, 0, size - 1, out=place)
    place += 1
    index = np.minimum(place.astype(np.int64), size)
    place -= index
    return index, place


def _blended(a: Pixels, b: Pixels, share: NDArray[np.float32]) -> Pixels:
    """Return a + share·(b - a), written over `b`."""
    b -= a
    b *= share
    b += a
    return b
