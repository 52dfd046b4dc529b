"""Exchanges neighbouring tokens of texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jobs.data.augment.augment import Augment, SpecialTokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.data.augment.draws import Draws


class WordSwap(Augment):
    """Exchange a token with the one after it, with probability `share`; none is moved twice.

    After the random swap of Wei & Zou, "EDA: Easy data augmentation techniques" (2019), which takes any two words.
    """

    kind: Literal["word_swap"] = "word_swap"
    modality = "text"
    share: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def apply(self, x: NDArray[Any], draws: Draws, special: SpecialTokens) -> NDArray[Any]:
        """Return the texts, some neighbours of each exchanged."""
        import numpy as np

        words = special.words(x)
        wanted = draws.uniform("token", x.shape[1]) < self.share
        wanted[:, :-1] &= words[:, :-1] & words[:, 1:]
        wanted[:, -1:] = False
        # Of tokens that all want to be exchanged with the next, every second one is.
        places = np.arange(x.shape[1])
        before = np.maximum.accumulate(np.where(wanted, -1, places), 1)
        first = wanted & ((places - before) % 2 == 1)
        order = places + first
        order[:, 1:] -= first[:, :-1]
        return np.take_along_axis(x, order, 1)
