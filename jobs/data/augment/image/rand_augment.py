"""Applies some operations of a list to each image, chosen at random, all at one magnitude."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jobs.data.augment.augment import Augment, Fill, SpecialTokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.data.augment.draws import Draws


class RandAugment(Augment):
    """Apply `operations` of fourteen to each image, one after the other, all at `magnitude`.

    Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space" (2020).
    """

    kind: Literal["rand_augment"] = "rand_augment"
    modality = "image"
    operations: Annotated[int, Field(ge=0, le=14, description="Operations an image goes through")] = 2
    magnitude: Annotated[float, Field(ge=0, le=10)] = 5.0
    fill: Fill = "grey"

    def apply(self, x: NDArray[Any], draws: Draws, special: SpecialTokens) -> NDArray[Any]:
        """Return the images, each through its own operations."""
        import numpy as np

        from jobs.data.augment.image.operations import OPERATIONS

        for turn in range(self.operations):
            chosen = draws.integers(f"{turn}/operation", 0, len(OPERATIONS))
            level = np.where(draws.chance(f"{turn}/sign", 0.5), -1, 1).astype(np.float32) * (self.magnitude / 10)
            out = x.copy()
            for index, operation in enumerate(OPERATIONS.values()):
                rows = np.flatnonzero(chosen == index)
                if len(rows):
                    out[rows] = operation(x[rows], level[rows], self.fill)
            x = out
        return x
