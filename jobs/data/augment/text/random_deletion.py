"""Deletes tokens of texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jobs.data.augment.augment import PADDING, Augment, SpecialTokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.data.augment.draws import Draws


class RandomDeletion(Augment):
    """Delete each token with probability `share`; the rest moves left, and one token is always left.

    Wei & Zou, "EDA: Easy data augmentation techniques" (2019).
    """

    kind: Literal["random_deletion"] = "random_deletion"
    modality = "text"
    share: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def apply(self, x: NDArray[Any], draws: Draws, special: SpecialTokens) -> NDArray[Any]:
        """Return the texts, some tokens of each deleted."""
        import numpy as np

        words = special.words(x)
        drawn = np.where(words, draws.uniform("token", x.shape[1]), 2.0)
        gone = drawn < self.share
        spared = np.where(words, drawn, -1.0).argmax(1)  # the word that was drawn last to go
        gone[np.arange(len(x)), spared] = False
        order = np.argsort(gone, axis=1, kind="stable")
        return np.where(np.take_along_axis(gone, order, 1), np.int32(PADDING), np.take_along_axis(x, order, 1))
