"""Moves images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jobs.data.augment.augment import Augment, Fill, SpecialTokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.data.augment.draws import Draws


class Translate(Augment):
    """Move each image by whole pixels, up to these shares of its height and width either way."""

    kind: Literal["translate"] = "translate"
    modality = "image"
    height: Annotated[float, Field(ge=0, le=1, description="Largest share of the height")] = 0.1
    width: Annotated[float, Field(ge=0, le=1, description="Largest share of the width")] = 0.1
    fill: Fill = "reflect"

    def apply(self, x: NDArray[Any], draws: Draws, special: SpecialTokens) -> NDArray[Any]:
        """Return the images, each moved."""
        from jobs.data.augment.image.warp import shift

        most = (int(self.height * x.shape[1]), int(self.width * x.shape[2]))
        down, right = (draws.integers(n, -m, m + 1) for n, m in zip(("down", "right"), most, strict=True))
        return shift(x, down, right, self.fill)
