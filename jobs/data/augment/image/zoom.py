"""Enlarges and shrinks images about their centre."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.data.augment.augment import Augment, Fill, SpecialTokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.data.augment.draws import Draws


class Zoom(Augment):
    """Scale each image by a factor drawn from `low` to `high`; above 1 it grows, and its border is lost."""

    kind: Literal["zoom"] = "zoom"
    modality = "image"
    low: Annotated[float, Field(ge=0.1, le=10)] = 0.8
    high: Annotated[float, Field(ge=0.1, le=10)] = 1.2
    fill: Fill = "reflect"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise PydanticCustomError("zoom", "has a low factor above its high one")
        return self

    def apply(self, x: NDArray[Any], draws: Draws, special: SpecialTokens) -> NDArray[Any]:
        """Return the images, each scaled."""
        from jobs.data.augment.image.warp import affine, warp

        return warp(x, affine(len(x), enlarge=draws.between("factor", self.low, self.high)), self.fill)
