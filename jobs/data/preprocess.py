"""What happens to a raw image or text before the model sees it: the same code in preparation and in the replica.

The specs are light (definitions and artifacts hold them); the work is in `images.py` and `text.py`.
"""

from __future__ import annotations

from typing import Literal

from jobs.spec import Choice


class Preprocess(Choice):
    """The family of preprocessings, one a modality."""

    def files(self) -> list[str]:
        """Return the names of the files it needs, which lie beside it."""
        return []


class ImagePixels(Preprocess):
    """Decode, convert and resize an image to `uint8[height, width, channels]`."""

    kind: Literal["image"] = "image"
    height: int
    width: int
    channels: Literal[1, 3]


class WordPieces(Preprocess):
    """Cut a text into `int32[length]` token ids with the tokenizer in `tokenizer` (a file of the artifact)."""

    kind: Literal["text"] = "text"
    length: int
    vocabulary: int
    tokenizer: str = "tokenizer.json"

    def files(self) -> list[str]:
        """Return the tokenizer's file."""
        return [self.tokenizer]


class RawText(Preprocess):
    """Give the model the text itself, cleaned: `string[]`; the model cuts it into tokens, which needs TensorFlow."""

    kind: Literal["raw_text"] = "raw_text"
