"""Turns images about their centre."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jobs.data.augment.augment import Augment, Fill, SpecialTokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.data.augment.draws import Draws


class Rotate(Augment):
    """Turn each image by an angle drawn from -`degrees` to `degrees`, sampled bilinearly."""

    kind: Literal["rotate"] = "rotate"
    modality = "image"
    degrees: Annotated[float, Field(ge=0, le=180)] = 15.0
    fill: Fill = "reflect"

    def apply(self, x: NDArray[Any], draws: Draws, special: SpecialTokens) -> NDArray[Any]:
        """Return the images, each turned."""
        import numpy as np

        from jobs.data.augment.image.warp import affine, warp

        turn = np.deg2rad(draws.between("angle", -self.degrees, self.degrees))
        return warp(x, affine(len(x), turn=turn), self.fill)
