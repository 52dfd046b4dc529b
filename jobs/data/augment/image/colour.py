"""Changes colours: what Pillow's ImageOps and ImageEnhance do to one image, done to all rows at once.

Images are `float32[rows, height, width, channels]`. Values are 0…255 before and after. Parameters are `float32[rows]`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Each = NDArray[np.float32]
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow converts to grey


def luma(x: Pixels) -> Pixels:
    """Return the brightness of every pixel, `float32[rows, height, width, 1]`."""
    if x.shape[-1] == 1:
        return x
    red, green, blue = (x[..., channel] * LUMA[channel] for channel in range(3))
    return np.expand_dims(red + green + blue, -1)


def blend(towards: Pixels | float, x: Pixels, factor: Each) -> Pixels:
    """Return `towards` at factor 0, `x` at 1, and beyond it above 1."""
    out = (x - towards) * factor[:, None, None, None]
    out += towards
    return np.clip(out, 0, 255, out=out)


def brightness(x: Pixels, factor: Each) -> Pixels:
    """Blend with black."""
    return blend(0.0, x, factor)


def contrast(x: Pixels, factor: Each) -> Pixels:
    """Blend with the image's mean brightness."""
    return blend(luma(x).mean((1, 2, 3), keepdims=True), x, factor)


def saturation(x: Pixels, factor: Each) -> Pixels:
    """Blend with the image in grey; a grey image stays as it is."""
    return x if x.shape[-1] == 1 else blend(luma(x), x, factor)


def hue(x: Pixels, turns: Each) -> Pixels:
    """Turn colours around the grey axis of YIQ, which keeps the brightness; a grey image stays as it is."""
    if x.shape[-1] == 1:
        return x
    to_yiq = np.array([LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]], np.float64)
    angle = 2 * np.pi * turns.astype(np.float64)
    turned = np.tile(np.eye(3), (len(x), 1, 1))
    turned[:, 1, 1] = turned[:, 2, 2] = np.cos(angle)
    turned[:, 2, 1] = np.sin(angle)
    turned[:, 1, 2] = -turned[:, 2, 1]
    matrix = (np.linalg.inv(to_yiq) @ turned @ to_yiq).astype(np.float32)
    out = (x.reshape(len(x), -1, 3) @ matrix.transpose(0, 2, 1)).reshape(x.shape)
    return np.where((turns == 0)[:, None, None, None], x, np.clip(out, 0, 255))


def sharpness(x: Pixels, factor: Each) -> Pixels:
    """Blend with the image smoothed by 3x3 ones around a 5, its outermost pixels left alone."""
    if min(x.shape[1:3]) < 3:
        return x
    columns = x[:, :-2] + x[:, 1:-1] + x[:, 2:]
    smooth = x.copy()
    smooth[:, 1:-1, 1:-1] = (columns[:, :, :-2] + columns[:, :, 1:-1] + columns[:, :, 2:] + 4 * x[:, 1:-1, 1:-1]) / 13
    return blend(smooth, x, factor)


def autocontrast(x: Pixels) -> Pixels:
    """Stretch each channel to 0…255."""
    low, high = x.min((1, 2), keepdims=True), x.max((1, 2), keepdims=True)
    flat = high <= low
    return np.where(flat, x, np.minimum((x - low) * (255 / np.where(flat, 1, high - low)), 255))


def equalize(x: Pixels) -> Pixels:
    """Level each channel's histogram."""
    rows, height, width, channels = x.shape
    levels = np.rint(x).astype(np.int64).transpose(0, 3, 1, 2).reshape(rows * channels, -1)
    levels += np.arange(rows * channels)[:, None] * 256
    counts = np.bincount(levels.reshape(-1), minlength=rows * channels * 256).reshape(-1, 256)
    last = np.take_along_axis(counts, 255 - (counts[:, ::-1] > 0).argmax(1)[:, None], 1)
    step = (height * width - last) // 255
    table = np.where(step > 0, (step // 2 + counts.cumsum(1) - counts) // np.maximum(step, 1), np.arange(256))
    out = np.minimum(table, 255).astype(np.float32).reshape(-1)[levels]
    return np.ascontiguousarray(out.reshape(rows, channels, height, width).transpose(0, 2, 3, 1))


def solarize(x: Pixels, threshold: Each) -> Pixels:
    """Invert the values at or above the threshold."""
    return np.where(x >= threshold[:, None, None, None], 255 - x, x)


def posterize(x: Pixels, bits: NDArray[np.int64]) -> Pixels:
    """Keep the highest `bits` (1 to 8) of each value."""
    step = np.float32(2) ** (8 - bits).astype(np.float32)[:, None, None, None]
    return np.where(step > 1, np.floor(x / step) * step, x)
