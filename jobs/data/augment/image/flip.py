"""Mirrors images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jobs.data.augment.augment import Augment, SpecialTokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.data.augment.draws import Draws


class Flip(Augment):
    """Mirror each image left to right, top to bottom, or both, with these probabilities."""

    kind: Literal["flip"] = "flip"
    modality = "image"
    horizontal: Annotated[float, Field(ge=0, le=1, description="Probability of a mirror left to right")] = 0.5
    vertical: Annotated[float, Field(ge=0, le=1, description="Probability of a mirror top to bottom")] = 0.0

    def apply(self, x: NDArray[Any], draws: Draws, special: SpecialTokens) -> NDArray[Any]:
        """Return the images, some of them mirrored."""
        out = x.copy()
        if self.horizontal:
            chosen = draws.chance("horizontal", self.horizontal)
            out[chosen] = out[chosen, :, ::-1]
        if self.vertical:
            chosen = draws.chance("vertical", self.vertical)
            out[chosen] = out[chosen, ::-1]
        return out
