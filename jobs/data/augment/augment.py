"""What an augmentation is: fields, the modality it changes, and one pure function of rows and draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from jobs.spec import Choice

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from jobs.data.augment.draws import Draws

Fill = Literal["reflect", "edge", "black", "grey"]  # what comes from outside of an image
FILL_VALUES = {"black": 0.0, "grey": 127.5}  # the others repeat the image
PADDING = 0  # the token id behind a text's end


@dataclass(frozen=True)
class SpecialTokens:
    """The token ids that mean something to the model: `reserved` ones are no words, `unknown` stands for any word."""

    reserved: frozenset[int] = frozenset({PADDING})
    unknown: int = 1

    def words(self, x: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return where the tokens `int32[rows, length]` are words."""
        found: NDArray[np.bool_] = x != PADDING
        for token in self.reserved - {PADDING}:
            found &= x != token
        return found


class Augment(Choice):
    """The family of augmentations: rows of one train step in, rows of the same shape and dtype out.

    Images are `float32[rows, height, width, channels]` of 0…255, texts `int32[rows, length]` token ids. Neither
    function writes into what it is given; `apply` may return it as it is.
    """

    modality: ClassVar[Literal["image", "text"]]
    mixes: ClassVar[bool] = False  # it has `mix` instead of `apply`

    def apply(self, x: NDArray[Any], draws: Draws, special: SpecialTokens) -> NDArray[Any]:
        """Return `x` changed as `draws` decide, each row by itself; `special` tells a text's words from the rest."""
        raise NotImplementedError

    def mix(self, x: NDArray[Any], partner: NDArray[Any], draws: Draws) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return (`x` mixed with `partner` row by row, the weight `float32[rows]` of each row's own label)."""
        raise NotImplementedError


def problems(kinds: Sequence[Augment], modality: str, strings: bool = False) -> Iterator[tuple[int, str]]:
    """Yield (index, what is wrong) with augmenting rows of `modality` (`image`, `text` or `image_text`) by `kinds`.

    `strings` says that the model is given texts as they are, and cuts them into tokens itself.
    """
    mixing: Augment | None = None
    for index, kind in enumerate(kinds):
        if kind.modality not in modality.split("_"):
            yield index, f"changes {kind.modality}s, but the model reads {modality} rows"
        elif kind.modality == "text" and strings:
            yield index, "changes tokens, but the model is given the text itself"
        elif kind.mixes and modality != kind.modality:
            yield index, f"mixes {kind.modality}s, and the text beside each would belong to one of the two only"
        elif kind.mixes and mixing is not None:
            yield index, "mixes rows that are mixed already, and a label is shared by two rows only; choose one"
        mixing = kind if kind.mixes else mixing
