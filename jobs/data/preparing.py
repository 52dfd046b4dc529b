"""From raw images or texts to the batch a model reads: one entry for preparation, evaluation and the replica.

Light to import: Pillow or tokenizers come with the preparer that needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cluster.errors import StepError
from jobs.artifacts import Dataset
from jobs.data.preprocess import ImageAndText, ImagePixels, Preprocess, RawText, WordPieces
from jobs.data.rows import part_of_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Preparer(Protocol):
    """Prepares raw items; a BadRow says why one of them cannot be."""

    def __call__(self, items: Sequence[Any]) -> Any:
        """Return the batch: `NDArray[items, …]`, or such arrays by input name."""


class ImagePreparer:
    """Image files (bytes) or pixels to `uint8[items, height, width, channels]`."""

    def __init__(self, to: ImagePixels) -> None:
        from jobs.data.images import decode

        self._to = to
        self._decode = decode

    def __call__(self, items: Sequence[Any]) -> NDArray[Any]:
        """Decode every item."""
        import numpy as np

        batch = np.empty((len(items), self._to.height, self._to.width, self._to.channels), np.uint8)
        for index, item in enumerate(items):
            batch[index] = self._decode(item, self._to)
        return batch


class TextPreparer:
    """Texts to token ids `int32[items, length]`."""

    def __init__(self, to: WordPieces, folder: Path) -> None:
        from jobs.data.text import Encoder, clean

        self._clean = clean
        self._encoder = Encoder(folder / to.tokenizer, to.length, to.framed)

    def __call__(self, items: Sequence[Any]) -> NDArray[Any]:
        """Clean and encode every item."""
        return self._encoder.encode([self._clean(item) for item in items])


class RawTextPreparer:
    """Texts to themselves, cleaned: objects `[items]`."""

    def __call__(self, items: Sequence[Any]) -> NDArray[Any]:
        """Clean every item."""
        import numpy as np

        from jobs.data.text import clean

        return np.array([clean(item) for item in items], object)


class PairPreparer:
    """Pairs to `{"image": uint8[items, height, width, channels], "tokens": int32[items, length]}`."""

    def __init__(self, to: ImageAndText, folder: Path) -> None:
        self._names = [part.input_name for part in to.parts()]
        self._image, self._text = (preparer(part, folder) for part in to.parts())

    def __call__(self, items: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """Prepare the images, then the texts."""
        with part_of_pair("an image"):
            images = self._image([item.image for item in items])
        with part_of_pair("a text"):
            texts = self._text([item.text for item in items])
        return dict(zip(self._names, (images, texts), strict=True))


def preparer(preprocess: Preprocess, folder: Path) -> Preparer:
    """Make what prepares raw items as `preprocess` says; `folder` holds its files (the tokenizer)."""
    if isinstance(preprocess, ImagePixels):
        return ImagePreparer(preprocess)
    if isinstance(preprocess, RawText):
        return RawTextPreparer()
    if isinstance(preprocess, ImageAndText):
        return PairPreparer(preprocess, folder)
    assert isinstance(preprocess, WordPieces), f"no preparer for {preprocess!r}"
    return TextPreparer(preprocess, folder)


def preprocess_of(dataset: Dataset) -> ImagePixels:
    """Return how images were prepared in `dataset`: a model that takes them as they are prepares its own so."""
    if dataset.image is None:
        raise StepError("the data set", f"holds {dataset.modality}s", "images")
    height, width, channels = dataset.image
    return ImagePixels(height=height, width=width, channels=1 if channels == 1 else 3)
