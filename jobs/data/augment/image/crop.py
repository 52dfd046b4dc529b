"""Crops images at random after padding them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jobs.data.augment.augment import Augment, Fill, SpecialTokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.data.augment.draws import Draws


class Crop(Augment):
    """Pad each image by `padding` pixels and cut its own size out at random.

    As He et al., "Deep residual learning for image recognition" (2015), do for CIFAR-10.
    """

    kind: Literal["crop"] = "crop"
    modality = "image"
    padding: Annotated[int, Field(ge=0, le=512, description="Pixels on every side")] = 4
    fill: Fill = "reflect"

    def apply(self, x: NDArray[Any], draws: Draws, special: SpecialTokens) -> NDArray[Any]:
        """Return the images, each cut out anew."""
        from jobs.data.augment.image.warp import shift

        down, right = (draws.integers(name, -self.padding, self.padding + 1) for name in ("down", "right"))
        return shift(x, down, right, self.fill)
