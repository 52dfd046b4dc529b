"""A BERT encoder (Devlin et al., 2019) of plain Keras layers: every weight is a Dense's, an Embedding's or a norm's.

Each step is a layer of its own with a stable name, so that pruning, weight sharing and quantization find it. What has
no Keras layer is written in plain operations, which convert to LiteRT and train under every strategy.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import tensorflow as tf
import tf_keras as keras

from jobs.models.checkpoint import Sizes
from jobs.models.layers import Dropout, Named, StochasticDepth

PADDED = -100.0  # added to a padding token's score: e^-100 is no share, and an int8 range still resolves the scores
SPREAD = partial(keras.initializers.TruncatedNormal, stddev=0.02)


@keras.utils.register_keras_serializable("espalier")
class Positions(keras.layers.Layer):  # type: ignore[misc]
    """Token ids `int32[rows, length]` to the positions `int32[1, length]`."""

    def call(self, inputs: Any) -> Any:
        """Count the positions; they are the same for every row."""
        return tf.expand_dims(tf.range(inputs.shape[1]), 0)


@keras.utils.register_keras_serializable("espalier")
class Padding(keras.layers.Layer):  # type: ignore[misc]
    """Token ids `int32[rows, length]` to what is added to their scores: 0, or `PADDED` where the id is 0."""

    def call(self, inputs: Any) -> Any:
        """Return `float32[rows, 1, 1, length]`."""
        return tf.reshape(tf.where(tf.equal(inputs, 0), PADDED, 0.0), [-1, 1, 1, inputs.shape[1]])


@keras.utils.register_keras_serializable("espalier")
class LayerNorm(keras.layers.Layer):  # type: ignore[misc]
    """Layer normalisation (Ba et al., 2016) over the last axis, computed in float32."""

    def __init__(self, epsilon: float = 1e-12, **options: Any) -> None:
        super().__init__(**options)
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        """Make scale and offset, `float32[width]`."""
        width = input_shape[-1:]
        self.gamma = self.add_weight("gamma", width, tf.float32, "ones", experimental_autocast=False)
        self.beta = self.add_weight("beta", width, tf.float32, "zeros", experimental_autocast=False)

    def call(self, inputs: Any) -> Any:
        """Return `inputs` with mean 0 and variance 1 over the last axis, scaled and moved."""
        x = tf.cast(inputs, tf.float32)
        x -= tf.reduce_mean(x, -1, keepdims=True)
        scale = tf.math.rsqrt(tf.reduce_mean(tf.square(x), -1, keepdims=True) + self.epsilon)
        return tf.cast(x * scale * self.gamma + self.beta, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the fields the layer is rebuilt from."""
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.utils.register_keras_serializable("espalier")
class Heads(keras.layers.Layer):  # type: ignore[misc]
    """A layer that works in `heads` parts of the width."""

    def __init__(self, heads: int, **options: Any) -> None:
        super().__init__(**options)
        self.heads = heads

    def split(self, x: Any) -> Any:
        """Return `[rows, length, width]` as `[rows, heads, length, width / heads]`."""
        x = tf.reshape(x, [-1, x.shape[1], self.heads, x.shape[2] // self.heads])
        return tf.transpose(x, [0, 2, 1, 3])

    def get_config(self) -> dict[str, Any]:
        """Return the fields the layer is rebuilt from."""
        return {**super().get_config(), "heads": self.heads}


@keras.utils.register_keras_serializable("espalier")
class AttentionShares(Heads):
    """Queries and keys `[rows, length, width]` and padding to shares `[rows, heads, length, length]` that sum to 1."""

    def call(self, inputs: Any) -> Any:
        """Return the softmax of the scaled scores."""
        query, key, padding = inputs
        query *= (query.shape[2] // self.heads) ** -0.5
        scores = tf.matmul(self.split(query), self.split(key), transpose_b=True)
        shares = tf.nn.softmax(tf.cast(scores, tf.float32) + tf.cast(padding, tf.float32))
        return tf.cast(shares, query.dtype)


@keras.utils.register_keras_serializable("espalier")
class AttentionValues(Heads):
    """Shares `[rows, heads, length, length]` and values `[rows, length, width]` to mixes `[rows, length, width]`."""

    def call(self, inputs: Any) -> Any:
        """Return each head's mix, side by side."""
        shares, value = inputs
        mixed = tf.transpose(tf.matmul(shares, self.split(value)), [0, 2, 1, 3])
        return tf.reshape(mixed, [-1, value.shape[1], value.shape[2]])


@keras.utils.register_keras_serializable("espalier")
class MeanOfTokens(keras.layers.Layer):  # type: ignore[misc]
    """Features `[rows, length, width]` and padding to the mean over tokens that are not padding, `[rows, width]`."""

    def call(self, inputs: Any) -> Any:
        """Return the mean: attention with equal scores, which an int8 file can compute, where it cannot divide."""
        x, padding = inputs
        shares = tf.nn.softmax(tf.squeeze(tf.cast(padding, tf.float32), 1))
        return tf.squeeze(tf.matmul(tf.cast(shares, x.dtype), x), 1)


@keras.utils.register_keras_serializable("espalier")
class FirstToken(keras.layers.Layer):  # type: ignore[misc]
    """Features `[rows, length, width]` to those of the first token, `[rows, width]`."""

    def call(self, inputs: Any) -> Any:
        """Return the first token's features."""
        return inputs[:, 0]


class Encoder(Named):
    """Builds the layers of an encoder of `sizes`; residual branches are dropped more often the deeper they are."""

    def __init__(self, sizes: Sizes, dropout: float, stochastic_depth: float, seed: int) -> None:
        super().__init__(seed)
        self.sizes, self.dropout, self.stochastic_depth = sizes, dropout, stochastic_depth

    def __call__(self, tokens: Any, vocabulary: int) -> tuple[Any, Any]:
        """Return hidden states `[rows, length, width]` and the padding of `tokens`, `int32[rows, length]`."""
        padding = Padding(name="padding")(tokens)
        positions = Positions(name="position_ids")(tokens)
        x = self.embed(tokens, vocabulary, "words")
        x = keras.layers.Add(name="embedding")([x, self.embed(positions, tokens.shape[1], "positions")])
        x = self.drop(self.norm(x, "embedding_norm"), "embedding_dropout")
        return self.encode(x, padding), padding

    def encode(self, x: Any, padding: Any) -> Any:
        """Build every layer on embedded tokens `[rows, length, width]`."""
        for index in range(self.sizes.layers):
            name = f"layer{index}"
            skipped = self.stochastic_depth * (index + 1) / self.sizes.layers
            x = self.close(x, self.attend(x, padding, name), skipped, f"{name}_attention")
            x = self.close(x, self.feed_forward(x, name), skipped, f"{name}_output")
        return x

    def pooled(self, x: Any, padding: Any, how: str) -> Any:
        """Return features `[rows, width]`: the first token's (`cls`), BERT's `pooler` of it, or the tokens' `mean`."""
        if how == "mean":
            return MeanOfTokens(name="mean_of_tokens")([x, padding])
        first = FirstToken(name="first_token")(x)
        if how == "cls":
            return first
        return keras.layers.Activation("tanh", name="pooler_tanh")(self.dense(first, self.sizes.width, "pooler"))

    def attend(self, x: Any, padding: Any, name: str) -> Any:
        """Build self-attention on `x`."""
        query, key, value = (self.dense(x, self.sizes.width, f"{name}_{part}") for part in ("query", "key", "value"))
        shares = AttentionShares(self.sizes.heads, name=f"{name}_shares")([query, key, padding])
        shares = self.drop(shares, f"{name}_shares_dropout")
        mixed = AttentionValues(self.sizes.heads, name=f"{name}_mixed")([shares, value])
        return self.dense(mixed, self.sizes.width, f"{name}_attention")

    def feed_forward(self, x: Any, name: str) -> Any:
        """Build the two dense layers with GELU (exact, by the error function) between them."""
        x = self.dense(x, self.sizes.feed_forward, f"{name}_intermediate")
        x = keras.layers.Activation("gelu", name=f"{name}_gelu")(x)
        return self.dense(x, self.sizes.width, f"{name}_output")

    def close(self, shortcut: Any, x: Any, skipped: float, name: str) -> Any:
        """Drop from `x`, add the shortcut and normalise."""
        x = self.drop(x, f"{name}_dropout")
        if skipped:
            x = StochasticDepth(skipped, name=f"{name}_depth")(x)
        return self.norm(keras.layers.Add(name=f"{name}_add")([shortcut, x]), f"{name}_norm")

    def embed(self, ids: Any, rows: int, name: str) -> Any:
        """Look up `ids` in a table of `rows` rows."""
        start = self.initializer(SPREAD, name)
        return keras.layers.Embedding(rows, self.sizes.width, embeddings_initializer=start, name=name)(ids)

    def dense(self, x: Any, width: int, name: str) -> Any:
        """Multiply by a kernel and add a bias."""
        return keras.layers.Dense(width, kernel_initializer=self.initializer(SPREAD, name), name=name)(x)

    def norm(self, x: Any, name: str) -> Any:
        """Normalise over the width."""
        return LayerNorm(self.sizes.epsilon, name=name)(x)

    def drop(self, x: Any, name: str) -> Any:
        """Drop values, if any are to be."""
        return Dropout(self.dropout, name=name)(x) if self.dropout else x
