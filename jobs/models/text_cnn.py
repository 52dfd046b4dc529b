"""Convolutions over word pieces, pooled over time (Kim, 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from jobs.artifacts import Dataset
from jobs.data.preprocess import Preprocess, WordPieces
from jobs.models.architecture.counting import Counted
from jobs.models.backbone import Backbone


class TextCnn(Backbone):
    """An embedding of `width`, one convolution of `filters` a kernel size, the maximum over time of each."""

    kind: Literal["text_cnn"] = "text_cnn"
    modality = "text"
    removable: ClassVar[tuple[str, ...]] = ("channels", "columns")
    architecture: ClassVar[tuple[str, ...]] = ("width", "filters", "kernels")
    vocabulary: Annotated[int, Field(ge=100, le=200_000)] = 8_000
    length: Annotated[int, Field(ge=4, le=4_096, description="Word pieces a text is cut or padded to")] = 64
    width: Annotated[int, Field(ge=4, le=1_024)] = 64
    filters: Annotated[int, Field(ge=4, le=2_048)] = 64
    kernels: Annotated[list[Annotated[int, Field(ge=1, le=16)]], Field(min_length=1, max_length=8)] = [2, 3, 4]
    spatial_dropout: Annotated[float, Field(ge=0, lt=1, description="Share of the embedding's channels dropped")] = 0.0

    def preprocess(self, dataset: Dataset, folder: Path) -> Preprocess:
        """Train a WordPiece vocabulary on the training split."""
        from jobs.data.text import fit_word_pieces

        return fit_word_pieces(dataset, folder, self.vocabulary, self.length)

    def counted(self, image: Sequence[int] | None) -> Counted | None:
        """Count the layers, with a vocabulary as large as it may become."""
        counted = Counted()
        counted.add(self.vocabulary * self.width, 0)
        for size in self.kernels:
            weights = size * self.width * self.filters
            counted.add(weights + self.filters, weights * self.length)
        counted.features = self.filters * len(self.kernels)
        return counted

    def features(self, inputs: Any, preprocess: Preprocess, seed: int) -> Any:
        """Build on `int32[rows, length]` token ids; id 0 is padding."""
        import tf_keras as keras

        from jobs.models.layers import Named, SpatialDropout

        assert isinstance(preprocess, WordPieces)
        layers = Named(seed)
        start = layers.initializer(keras.initializers.RandomUniform, "embedding")
        x = keras.layers.Embedding(preprocess.vocabulary, self.width, embeddings_initializer=start, name="embedding")(
            inputs
        )
        if self.spatial_dropout:
            x = SpatialDropout(self.spatial_dropout, name="embedding_dropout")(x)
        pooled = []
        for index, size in enumerate(self.kernels):
            again = self.kernels[:index].count(size)
            name = f"conv{size}" + (f"_{again + 1}" if again else "")
            start = layers.initializer(keras.initializers.GlorotUniform, name)
            y = keras.layers.Conv1D(
                self.filters, size, padding="same", activation="relu", kernel_initializer=start, name=name
            )(x)
            pooled.append(keras.layers.GlobalMaxPooling1D(name=f"{name}_pool")(y))
        return pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(name="concatenate")(pooled)
