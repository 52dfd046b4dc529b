"""One train step of shared weights: the largest layout, and smaller ones that are let in phase by phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from jobs.fit import Gradient, Training, sums_of
from jobs.models.model import ModelSpec


def phases(specs: Sequence[ModelSpec]) -> list[list[int]]:
    """Return the candidates (indices) of each phase: the largest sizes, then each elastic field let free in turn.

    Fields that are the same in all candidates make no phase.
    """
    elastic = type(specs[0].backbone).elastic
    values = {name: [getattr(spec.backbone, name) for spec in specs] for name in elastic}
    held = [name for name in elastic if len(set(values[name])) > 1]

    def largest(names: Sequence[str]) -> list[int]:
        return [i for i in range(len(specs)) if all(values[name][i] == max(values[name]) for name in names)]

    return [largest(held[free:]) for free in range(len(held) + 1)]


@dataclass
class Sandwich(Training):
    """Trains the largest layout and `sampled` others at once, drawn for each train step by (seed, train step)."""

    phases: list[list[int]] = field(default_factory=list)
    train_steps: int = 1
    sampled: int = 2
    distil: bool = True

    def __post_init__(self) -> None:
        """Draw before each train step."""
        self.drawn = tf.Variable(tf.zeros([self.sampled], tf.int32), trainable=False)
        self.before_step.append(self.draw)

    def draw(self, train_step: Any) -> None:
        """Draw the layouts of a train step from its phase's."""
        most = max(map(len, self.phases))
        table = tf.constant(np.array([phase + [0] * (most - len(phase)) for phase in self.phases], np.int32))
        counts = tf.constant([float(len(phase)) for phase in self.phases])
        phase = tf.minimum(train_step * len(self.phases) // self.train_steps, len(self.phases) - 1)
        seed = tf.stack([tf.constant(self.seed, tf.int64), train_step])
        share = tf.random.stateless_uniform([self.sampled], seed)
        self.drawn.assign(tf.gather(tf.gather(table, phase), tf.cast(share * tf.gather(counts, phase), tf.int32)))

    def apply(self, batch: Any, replicas: int) -> tuple[Any, Any, Any]:
        """Take one train step; return the largest layout's sums of loss, correct rows and rows."""
        model, largest = self.model, tf.constant(self.model.largest)
        with tf.GradientTape() as tape:
            logits = model.logits(batch.x, largest, training=True)
            losses = self.losses(batch, logits) * batch.weights
            total = tf.reduce_sum(losses)
            for place in range(self.sampled):
                smaller = model.logits(batch.x, self.drawn[place], training=True)
                total += tf.reduce_sum(self._smaller(batch, smaller, logits) * batch.weights)
            objective = total * batch.scale / (1 + self.sampled) + self.penalty() / replicas
        variables = model.trainable_variables
        gradients = tape.gradient(objective, variables)
        pairs = list(zip(gradients, variables, strict=True))
        self.gradients = [Gradient.of(gradient, variable) for gradient, variable in pairs if gradient is not None]
        self.optimizer.apply_gradients(pairs)
        return sums_of(batch, logits, losses)

    def _smaller(self, batch: Any, logits: Any, teacher: Any) -> Any:
        if not self.distil:
            return self.losses(batch, logits)
        wanted = tf.stop_gradient(tf.nn.softmax(teacher))
        return tf.nn.softmax_cross_entropy_with_logits(wanted, logits)

    def measure(self, batch: Any) -> tuple[Any, Any, Any]:
        """Return the largest layout's sums on a shard, normalised by it: averages are only taken when it is scored."""
        logits = self.model.logits(batch.x, tf.constant(self.model.largest), training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch.y, logits) * batch.weights
        return sums_of(batch, logits, losses)
