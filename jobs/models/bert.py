"""BERT (Devlin et al., 2019): an encoder from scratch in one of the small sizes, or from a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from cluster.errors import RequestError
from jobs.artifacts import Dataset
from jobs.data import files
from jobs.data.preprocess import Preprocess, WordPieces
from jobs.models.architecture.counting import Counted
from jobs.models.backbone import Backbone
from jobs.models.checkpoint import Checkpoint, Sizes
from jobs.models.sharding import Sharding

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = {  # Turc et al., 2019
    "tiny": Sizes(layers=2, width=128, heads=2, feed_forward=512),
    "mini": Sizes(layers=4, width=256, heads=4, feed_forward=1024),
    "small": Sizes(layers=4, width=512, heads=8, feed_forward=2048),
    "base": Sizes(layers=12, width=768, heads=12, feed_forward=3072),
}
OWN = tuple(Sizes.model_fields)


class Bert(Backbone):
    """An encoder of a `size`, changed by `layers`, `width`, `heads` and `feed_forward`; with `weights`, of its sizes.

    `weights` is a Hugging Face folder: config.json, model.safetensors, and tokenizer.json or vocab.txt. The features
    are the `mean` over the tokens, the first token's (`cls`), or BERT's `pooler` of that.
    """

    kind: Literal["bert"] = "bert"
    modality = "text"
    removable = ("heads", "neurons")
    sharding = Sharding(  # attention by heads, feed-forward by columns, then rows: the layers' names are the encoder's
        columns=("_query", "_key", "_value", "_intermediate", "pooler"),
        rows=("_attention", "_output"),
        widths=("words", "positions"),
    )
    size: Annotated[Literal["tiny", "mini", "small", "base"] | None, Field(description="Default: mini")] = None
    layers: Annotated[int | None, Field(ge=1, le=96)] = None
    width: Annotated[int | None, Field(ge=4, le=8_192)] = None
    heads: Annotated[int | None, Field(ge=1, le=128)] = None
    feed_forward: Annotated[int | None, Field(ge=4, le=32_768)] = None
    epsilon: Annotated[float | None, Field(gt=0, description="Added to the variance in normalisation")] = None
    vocabulary: Annotated[
        int, Field(ge=100, le=200_000, description="Word pieces learnt; with weights, theirs are taken")
    ] = 8_000
    length: Annotated[int, Field(ge=4, le=4_096, description="Word pieces a text is cut or padded to")] = 64
    pooling: Literal["mean", "cls", "pooler"] = "mean"
    dropout: Annotated[float, Field(ge=0, lt=1, description="Inside the encoder, as BERT has it")] = 0.1
    stochastic_depth: Annotated[float, Field(ge=0, lt=1, description="Share of rows that skip the last layer")] = 0.0
    weights: Annotated[str | None, Field(min_length=1, description="A Hugging Face folder, or a URI of one")] = None

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        if self.weights is not None and self.size is not None:
            raise ValueError("has a size, but its weights say what it is; leave size out")
        if self.weights is None and (sizes := self.sizes()).width % sizes.heads:
            raise ValueError(f"width {sizes.width} is not a multiple of heads {sizes.heads}")
        return self

    def sizes(self) -> Sizes:
        """Return the architecture, read from the weights' folder where the fields do not say it all."""
        given = self._given()
        if self.weights is not None and len(given) < len(OWN):
            return self._checkpoint().config.sizes()
        return SIZES[self.size or "mini"].model_copy(update=given)

    def counted(self, image: Sequence[int] | None) -> Counted | None:
        """Count the encoder; None where it starts from weights, which say how many words they know."""
        if self.weights is not None:
            return None
        counted, sizes = Counted(), self.sizes()
        width, inner = sizes.width, sizes.feed_forward
        counted.add((self.vocabulary + self.length + 2) * width, 0)  # 2, here and below: scale and offset of a norm
        attention, between = 4 * width * width, 2 * width * inner
        for _ in range(sizes.layers):
            counted.add(attention + between + 5 * width + inner + 4 * width, (attention + between) * self.length)
        if self.pooling == "pooler":
            counted.add(width * width + width, width * width)
        counted.features = width
        return counted

    def divided_sizes(self) -> dict[str, int]:
        """Return width, heads and feed_forward; of weights at a URI, what the fields say of them."""
        unread = self.weights is not None and (files.is_uri(self.weights) or not files.exists(self.weights))
        sizes = self._given() if unread else self.sizes().model_dump()
        return {name: size for name, size in sizes.items() if name in ("width", "heads", "feed_forward")}

    def _checkpoint(self) -> Checkpoint:
        """Open the weights' folder; RequestError when it is of other sizes than the fields say."""
        assert self.weights is not None
        found = Checkpoint(self.weights)
        for name, value in self._given().items():
            if value != (size := getattr(found.config.sizes(), name)):
                raise RequestError(f"{self.weights}: {name}", f"is {size}", str(value))
        if self.length > (most := found.config.max_position_embeddings):
            raise RequestError(self.weights, f"has {most} positions", f"length {self.length}")
        return found

    def _given(self) -> dict[str, Any]:
        return {name: value for name in OWN if (value := getattr(self, name)) is not None}

    def inputs(self) -> list[str]:
        """Return the folder of the weights."""
        return [self.weights] if self.weights is not None else []

    def problems(self) -> Iterator[str]:
        """Yield that the folder does not exist, or what its config.json says that the fields do not."""
        missing = [*super().problems()]
        yield from missing
        if self.weights is not None and not missing and not files.is_uri(self.weights):
            try:
                self._checkpoint()
            except RequestError as error:
                yield str(error)

    def located(self, root: Path) -> Self:
        """Take a relative path of weights from `root`."""
        if self.weights is None:
            return self
        return self.model_copy(update={"weights": files.locate(self.weights, root)})

    def resolved(self, folder: Path) -> Self:
        """Return the backbone with its sizes in its fields: it is built without the folder of its weights."""
        return self.model_copy(update={"size": None, **self.sizes().model_dump()})

    def pretrained(self, preprocess: Preprocess) -> Mapping[str, NDArray[Any]] | None:
        """Read the tensors of `weights`."""
        if self.weights is None:
            return None
        return self._checkpoint().weights(self.length, self.pooling == "pooler")

    def preprocess(self, dataset: Dataset, folder: Path) -> Preprocess:
        """Take the tokenizer of `weights`, or train a WordPiece vocabulary on the training split."""
        from jobs.data.text import fit_word_pieces, take_word_pieces

        if self.weights is None:
            return fit_word_pieces(dataset, folder, self.vocabulary, self.length, framed=True)
        found = self._checkpoint()
        return take_word_pieces(dataset, folder, found.path, self.length, found.config.vocab_size)

    def features(self, inputs: Any, preprocess: Preprocess, seed: int) -> Any:
        """Build on `int32[rows, length]` token ids; id 0 is padding."""
        from jobs.models.encoder import Encoder

        assert isinstance(preprocess, WordPieces)
        encoder = Encoder(self.sizes(), self.dropout, self.stochastic_depth, seed)
        hidden, padding = encoder(inputs, preprocess.vocabulary)
        return encoder.pooled(hidden, padding, self.pooling)
