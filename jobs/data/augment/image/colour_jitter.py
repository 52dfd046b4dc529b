"""Changes the colours of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jobs.data.augment.augment import Augment, SpecialTokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.data.augment.draws import Draws


class ColourJitter(Augment):
    """Change brightness, contrast, saturation and hue, in this order, each by its own draw.

    The first three are factors from 1 - s to 1 + s (Howard, "Some improvements on deep convolutional neural network
    based image classification", 2013), hue is turned by up to this share of the colour circle either way. Grey images
    have neither saturation nor hue.
    """

    kind: Literal["colour_jitter"] = "colour_jitter"
    modality = "image"
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.2
    contrast: Annotated[float, Field(ge=0, le=1)] = 0.2
    saturation: Annotated[float, Field(ge=0, le=1)] = 0.2
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0

    def apply(self, x: NDArray[Any], draws: Draws, special: SpecialTokens) -> NDArray[Any]:
        """Return the images, each in other colours."""
        from jobs.data.augment.image import colour

        if self.brightness:
            x = colour.brightness(x, draws.between("brightness", 1 - self.brightness, 1 + self.brightness))
        if self.contrast:
            x = colour.contrast(x, draws.between("contrast", 1 - self.contrast, 1 + self.contrast))
        if self.saturation:
            x = colour.saturation(x, draws.between("saturation", 1 - self.saturation, 1 + self.saturation))
        return colour.hue(x, draws.between("hue", -self.hue, self.hue)) if self.hue else x
