"""Blends pairs of images and their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from jobs.data.augment.augment import Augment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from jobs.data.augment.draws import Draws


class Mixup(Augment):
    """Blend each image with another of its batch, by a share from Beta(`alpha`, `alpha`); the labels share alike.

    Zhang et al., "mixup: Beyond empirical risk minimization" (2018); here every row draws its own share.
    """

    kind: Literal["mixup"] = "mixup"
    modality = "image"
    mixes: ClassVar[bool] = True
    alpha: Annotated[float, Field(gt=0, le=100)] = 0.2
    probability: Annotated[float, Field(ge=0, le=1, description="Share of the images that are blended")] = 1.0

    def mix(self, x: NDArray[Any], partner: NDArray[Any], draws: Draws) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return (blended images, weights of their own labels)."""
        import numpy as np

        drawn = draws.beta("share", self.alpha).astype(np.float32)
        share = np.where(draws.chance("chosen", self.probability), drawn, np.float32(1))
        own = share[:, None, None, None]
        return np.clip(x * own + partner * (1 - own), 0, 255), share
