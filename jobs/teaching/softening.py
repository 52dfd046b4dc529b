"""The loss of a student: labels, a teacher's softened answers, and its features. TensorFlow is imported where used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Softening:
    """How much a teacher counts beside the labels, and how soft its logits are made.

    Answers are those of Hinton et al. (2015), features those of FitNets (Romero et al., 2015).
    """

    alpha: float
    temperature: float
    features: float = 0.0

    def blend(self, hard: Any, teacher: Any, logits: Any) -> Any:
        """Return (1-α)·`hard` + α·T²·KL(teacher ‖ student) of each row, both softened by T: `float32[rows]`."""
        import tensorflow as tf

        wanted = tf.nn.log_softmax(teacher / self.temperature)
        found = tf.nn.log_softmax(logits / self.temperature)
        divergence = tf.reduce_sum(tf.exp(wanted) * (wanted - found), axis=1)
        return (1 - self.alpha) * hard + self.alpha * self.temperature**2 * divergence

    def apart(self, teacher: Any, student: Any) -> Any:
        """Return `features` times the mean squared difference of features `[rows, width]`: `float32[rows]`."""
        import tensorflow as tf

        return self.features * tf.reduce_mean(tf.math.squared_difference(teacher, student), axis=1)
