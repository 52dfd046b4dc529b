"""Puts a box of another image into each image, and shares the labels by area."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from jobs.data.augment.augment import Augment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from jobs.data.augment.draws import Draws


class Cutmix(Augment):
    """Replace a box of each image by that of another of its batch; the labels share by area.

    Yun et al., "CutMix: Regularization strategy to train strong classifiers with localizable features" (2019): the box
    has the image's proportions, its area a share from Beta(`alpha`, `alpha`), its centre lies anywhere, and what falls
    outside is cut off. Here every row draws its own box.
    """

    kind: Literal["cutmix"] = "cutmix"
    modality = "image"
    mixes: ClassVar[bool] = True
    alpha: Annotated[float, Field(gt=0, le=100)] = 1.0
    probability: Annotated[float, Field(ge=0, le=1, description="Share of the images that are mixed")] = 1.0

    def mix(self, x: NDArray[Any], partner: NDArray[Any], draws: Draws) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return (images with a box of their partners, weights of their own labels)."""
        import numpy as np

        side = np.sqrt(draws.beta("area", self.alpha)) * draws.chance("chosen", self.probability)
        inside = []
        for axis in (1, 2):
            size = x.shape[axis]
            length = np.rint(side * size).astype(np.int64)[:, None]
            start = draws.integers(f"centre {axis}", 0, size)[:, None] - length // 2
            inside.append((np.arange(size) >= start) & (np.arange(size) < start + length))
        down, right = inside
        box = down[:, :, None] & right[:, None]
        return np.where(box[..., None], partner, x), 1 - box.mean((1, 2), dtype=np.float32)
