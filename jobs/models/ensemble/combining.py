"""The layer that makes one answer of several models' logits. It has no weights: what was learnt is in the spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

TINY = 1e-7  # added to a share before its logarithm: nothing is impossible
LEAN = 0.5  # of a vote, at most, that the mean probability counts beside the votes: it only breaks ties


@keras.utils.register_keras_serializable("espalier")
class Combined(keras.layers.Layer):  # type: ignore[misc]
    """Combines logits `float32[rows, classes]` of several models into such logits, by `rule`.

    `probabilities`: log of the weighted mean of softmaxes. `logits`: their weighted mean. `vote`: log of the shares of
    votes. Each model's logits are divided by its temperature first.
    """

    def __init__(self, rule: str, weights: Sequence[float], temperatures: Sequence[float], **options: Any) -> None:
        super().__init__(**{"dtype": "float32"} | options)
        self.rule, self.shares, self.temperatures = rule, list(weights), list(temperatures)

    def call(self, inputs: Any) -> Any:
        """Return the logits of all together."""
        scaled = [logits / heat for logits, heat in zip(inputs, self.temperatures, strict=True)]
        if self.rule == "logits":
            return tf.add_n([share * logits for share, logits in zip(self.shares, scaled, strict=True)])
        likely = [tf.nn.softmax(logits) for logits in scaled]
        mean = tf.add_n([share * each for share, each in zip(self.shares, likely, strict=True)])
        if self.rule == "vote":
            votes = [tf.one_hot(tf.argmax(each, 1, tf.int32), each.shape[1]) for each in likely]
            mean = (tf.add_n(votes) + LEAN * mean) / (len(votes) + LEAN)
        return tf.math.log(mean + TINY)

    def get_config(self) -> dict[str, Any]:
        """Return the fields the layer is rebuilt from."""
        fields = {"rule": self.rule, "weights": self.shares, "temperatures": self.temperatures}
        return {**super().get_config(), **fields}
