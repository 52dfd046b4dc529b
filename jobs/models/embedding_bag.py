"""The mean of a text's word-piece embeddings (Joulin et al., 2017): a linear classifier of great speed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.artifacts import Dataset
from jobs.data.preprocess import Preprocess, WordPieces
from jobs.models.architecture.counting import Counted
from jobs.models.backbone import Backbone
from jobs.models.sharding import Sharding


class EmbeddingBag(Backbone):
    """An embedding of `width`, averaged over the tokens that are not padding."""

    kind: Literal["embedding_bag"] = "embedding_bag"
    modality = "text"
    removable = ("columns",)
    sharding = Sharding(widths=("embedding",))
    vocabulary: Annotated[int, Field(ge=100, le=200_000)] = 20_000
    length: Annotated[int, Field(ge=4, le=4_096, description="Word pieces a text is cut or padded to")] = 128
    width: Annotated[int, Field(ge=4, le=1_024)] = 32

    def divided_sizes(self) -> dict[str, int]:
        """Return the embedding's width."""
        return {"width": self.width}

    def preprocess(self, dataset: Dataset, folder: Path) -> Preprocess:
        """Train a WordPiece vocabulary on the training split."""
        from jobs.data.text import fit_word_pieces

        return fit_word_pieces(dataset, folder, self.vocabulary, self.length)

    def counted(self, image: Sequence[int] | None) -> Counted | None:
        """Count the embedding: means multiply with no weight."""
        counted = Counted()
        counted.add(self.vocabulary * self.width, 0)
        counted.features = self.width
        return counted

    def features(self, inputs: Any, preprocess: Preprocess, seed: int) -> Any:
        """Build on `int32[rows, length]` token ids; id 0 is padding."""
        import tf_keras as keras

        from jobs.models.encoder import MeanOfTokens, Padding
        from jobs.models.layers import Named

        assert isinstance(preprocess, WordPieces)
        start = Named(seed).initializer(keras.initializers.RandomUniform, "embedding")
        x = keras.layers.Embedding(preprocess.vocabulary, self.width, embeddings_initializer=start, name="embedding")(
            inputs
        )
        return MeanOfTokens(name="mean_of_tokens")([x, Padding(name="padding")(inputs)])
