"""Convolutions over word pieces, pooled over time (Kim, 2014)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.artifacts import Dataset
from jobs.data.preprocess import Preprocess, WordPieces
from jobs.models.backbone import Backbone


class TextCnn(Backbone):
    """An embedding of `width`, one convolution of `filters` a kernel size, the maximum over time of each."""

    kind: Literal["text_cnn"] = "text_cnn"
    modality = "text"
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
        for size in self.kernels:
            name = f"conv{size}"
            start = layers.initializer(keras.initializers.GlorotUniform, name)
            y = keras.layers.Conv1D(
                self.filters, size, padding="same", activation="relu", kernel_initializer=start, name=name
            )(x)
            pooled.append(keras.layers.GlobalMaxPooling1D(name=f"{name}_pool")(y))
        return pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(name="concatenate")(pooled)
