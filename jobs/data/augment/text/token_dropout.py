"""Hides tokens of texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jobs.data.augment.augment import Augment, SpecialTokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.data.augment.draws import Draws


class TokenDropout(Augment):
    """Replace each token by the unknown one, with probability `share`.

    Word dropout, as Iyyer et al., "Deep unordered composition rivals syntactic methods for text classification" (2015).
    """

    kind: Literal["token_dropout"] = "token_dropout"
    modality = "text"
    share: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def apply(self, x: NDArray[Any], draws: Draws, special: SpecialTokens) -> NDArray[Any]:
        """Return the texts, some tokens of each unknown."""
        import numpy as np

        hidden = (draws.uniform("token", x.shape[1]) < self.share) & special.words(x)
        return np.where(hidden, np.int32(special.unknown), x)
