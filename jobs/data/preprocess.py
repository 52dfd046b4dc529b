"""What happens to a raw image or text before the model sees it: the same code in preparation and in the replica.

The specs are light (definitions and artifacts hold them); the work is in `images.py` and `text.py`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from jobs.spec import Choice


class Preprocess(Choice):
    """The family of preprocessings, one a modality."""

    modality: ClassVar[Literal["image", "text", "image_text"]]  # of the raw items
    input_name: ClassVar[str]  # of the model's input that takes the prepared rows

    def files(self) -> list[str]:
        """Return the names of the files it needs, which lie beside it."""
        return []


class ImagePixels(Preprocess):
    """Decode, convert and resize an image to `uint8[height, width, channels]`."""

    kind: Literal["image"] = "image"
    modality = "image"
    input_name = "image"
    height: int
    width: int
    channels: Literal[1, 3]


class WordPieces(Preprocess):
    """Cut a text into `int32[length]` token ids with the tokenizer in `tokenizer` (a file of the artifact).

    `framed` puts `[CLS]` before and `[SEP]` after it.
    """

    kind: Literal["text"] = "text"
    modality = "text"
    input_name = "tokens"
    length: int
    vocabulary: int  # rows of embeddings; perhaps more than there are tokens
    tokenizer: str = "tokenizer.json"
    framed: bool = False

    def files(self) -> list[str]:
        """Return the tokenizer's file."""
        return [self.tokenizer]


class RawText(Preprocess):
    """Give the model the text itself, cleaned: `string[]`; the model cuts it into tokens, which needs TensorFlow."""

    kind: Literal["raw_text"] = "raw_text"
    modality = "text"
    input_name = "texts"


class ImageAndText(Preprocess):
    """Prepare the image and the text of a pair, each in its own way; the model takes them as two inputs."""

    kind: Literal["image_text"] = "image_text"
    modality = "image_text"
    image: Preprocess
    text: Preprocess

    def parts(self) -> tuple[Preprocess, Preprocess]:
        """Return what prepares the image, then what prepares the text."""
        return self.image, self.text

    def files(self) -> list[str]:
        """Return the files of both."""
        return [name for part in self.parts() for name in part.files()]
