"""Covers a square of each image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jobs.data.augment.augment import FILL_VALUES, Augment, SpecialTokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.data.augment.draws import Draws


class Cutout(Augment):
    """Cover a square of `size` pixels whose centre may lie anywhere, so that part of it may fall outside.

    DeVries & Taylor, "Improved regularization of convolutional neural networks with cutout" (2017).
    """

    kind: Literal["cutout"] = "cutout"
    modality = "image"
    size: Annotated[int, Field(ge=0, le=4096, description="Side of the square, in pixels")] = 8
    fill: Literal["black", "grey"] = "grey"

    def apply(self, x: NDArray[Any], draws: Draws, special: SpecialTokens) -> NDArray[Any]:
        """Return the images, each with a square covered."""
        import numpy as np

        covered = []
        for axis in (1, 2):
            start = draws.integers(f"centre {axis}", 0, x.shape[axis])[:, None] - self.size // 2
            place = np.arange(x.shape[axis])
            covered.append((place >= start) & (place < start + self.size))
        down, right = covered
        return np.where((down[:, :, None] & right[:, None])[..., None], np.float32(FILL_VALUES[self.fill]), x)
