"""The fourteen operations of RandAugment, each at a level of -1…1: those with no direction take its size alone.

Levels 1 are those of Cubuk et al. (2020): 30 degrees, shears by 0.3, moves by 0.3 of a side, factors of 0.1 and 1.9,
half of the bits, everything inverted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from jobs.data.augment.augment import Fill
from jobs.data.augment.image import colour
from jobs.data.augment.image.warp import Pixels, affine, warp

Level = NDArray[np.float32]
Operation = Callable[[Pixels, Level, Fill], Pixels]

OPERATIONS: dict[str, Operation] = {
    "identity": lambda x, level, fill: x,
    "rotate": lambda x, level, fill: warp(x, affine(len(x), turn=np.deg2rad(30 * level)), fill),
    "shear_down": lambda x, level, fill: warp(x, affine(len(x), shear=(0.3 * level, 0.0)), fill),
    "shear_right": lambda x, level, fill: warp(x, affine(len(x), shear=(0.0, 0.3 * level)), fill),
    "move_down": lambda x, level, fill: warp(x, affine(len(x), move=(0.3 * x.shape[1] * level, 0.0)), fill),
    "move_right": lambda x, level, fill: warp(x, affine(len(x), move=(0.0, 0.3 * x.shape[2] * level)), fill),
    "brightness": lambda x, level, fill: colour.brightness(x, 1 + 0.9 * level),
    "contrast": lambda x, level, fill: colour.contrast(x, 1 + 0.9 * level),
    "saturation": lambda x, level, fill: colour.saturation(x, 1 + 0.9 * level),
    "sharpness": lambda x, level, fill: colour.sharpness(x, 1 + 0.9 * level),
    "autocontrast": lambda x, level, fill: colour.autocontrast(x),
    "equalize": lambda x, level, fill: colour.equalize(x),
    "solarize": lambda x, level, fill: colour.solarize(x, 256 * (1 - abs(level))),
    "posterize": lambda x, level, fill: colour.posterize(x, 8 - np.rint(4 * abs(level)).astype(np.int64)),
}
