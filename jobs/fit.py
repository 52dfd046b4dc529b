"""Epochs, history and checkpoints of one training; it never asks which strategy drives it, and knows no Ray."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from cluster.errors import StepError
from jobs.artifacts import Epoch
from jobs.spec import Spec
from jobs.strategies.strategy import Engine


class Recipe(Spec):
    """How long, how fast and on what batches a model is trained."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 10
    batch_size: Annotated[int, Field(ge=1, description="Rows a train step over all workers: the global batch")] = 64
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1, description="Share of the train steps the rate rises over")] = 0.05
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


@dataclass
class Training:
    """A model under training: its loss, its optimizer, and what hooks in before each train step."""

    model: Any
    optimizer: Any
    seed: int
    l1: float = 0.0
    l2: float = 0.0
    before_step: list[Callable[[Any], None]] = field(default_factory=list)

    def apply(self, batch: Any, replicas: int) -> tuple[Any, Any, Any]:
        """Take one train step on a replica's shard; return its sums of loss, correct rows and rows."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            logits = tf.cast(self.model(batch.x, training=True), tf.float32)
            losses = self.losses(batch, logits) * batch.weights
            objective = tf.reduce_sum(losses) * batch.scale + self.penalty() / replicas
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(objective, variables), variables, strict=True))
        return _sums(batch, logits, losses)

    def losses(self, batch: Any, logits: Any) -> Any:
        """Return the cross-entropy of each row, `float32[rows]`: of both its classes, where rows were mixed."""
        import tensorflow as tf

        own = tf.nn.sparse_softmax_cross_entropy_with_logits(batch.y, logits)
        other = tf.nn.sparse_softmax_cross_entropy_with_logits(batch.other, logits)
        return batch.share * own + (1 - batch.share) * other

    def penalty(self) -> Any:
        """Return the L1 and L2 penalties on kernels and embeddings."""
        import tensorflow as tf

        from jobs.models.model import penalised

        total = tf.zeros([])
        for variable in penalised(self.model) if self.l1 or self.l2 else []:
            total += self.l1 * tf.reduce_sum(tf.abs(variable)) + self.l2 * tf.reduce_sum(tf.square(variable))
        return total

    def measure(self, batch: Any) -> tuple[Any, Any, Any]:
        """Return a shard's sums of loss, correct rows and rows, in inference."""
        import tensorflow as tf

        logits = tf.cast(self.model(batch.x, training=False), tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch.y, logits) * batch.weights
        return _sums(batch, logits, losses)


def _sums(batch: Any, logits: Any, losses: Any) -> tuple[Any, Any, Any]:
    import tensorflow as tf

    correct = tf.cast(tf.equal(tf.argmax(logits, 1, tf.int32), batch.y), tf.float32) * batch.weights
    return tf.reduce_sum(losses), tf.reduce_sum(correct), tf.reduce_sum(batch.weights)


class Keeper(Protocol):
    """Keeps checkpoints and passes on what an epoch showed; called by every worker after each epoch."""

    def resume(self, phase: int) -> tuple[list[Epoch], dict[str, Any]] | None:
        """Return (history, arrays) of the newest good checkpoint of `phase`, or None to start afresh."""

    def epoch_done(self, phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
        """Keep a checkpoint of the epoch that ended last."""


def optimizer_of(recipe: Recipe, train_steps: int) -> Any:
    """Make the optimizer; its rate follows the recipe's schedule over `train_steps`."""
    import tf_keras as keras

    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        rise = int(recipe.warmup * train_steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if rise else recipe.learning_rate,
            max(1, train_steps - rise),
            warmup_target=recipe.learning_rate if rise else None,
            warmup_steps=rise,
        )
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    return keras.optimizers.Adam(rate)


def fit(
    engine: Engine,
    training: Training,
    train: Any,
    validation: Any,
    recipe: Recipe,
    keeper: Keeper,
    phase: int,
    name: str,
) -> list[Epoch]:
    """Train for `recipe.epochs` epochs, going on from the newest checkpoint of this phase; return the history.

    Raises StepError naming the train step when the loss stops being finite.
    """
    with engine.scope():
        training.optimizer.build(training.model.trainable_variables)
    history: list[Epoch] = []
    if (kept := keeper.resume(phase)) is not None:
        history, arrays = kept
        engine.restore(training, arrays)
    for epoch in range(len(history), recipe.epochs):
        started = time.perf_counter()
        sums = engine.train(training, train, epoch * train.steps, (epoch + 1) * train.steps)
        seconds = time.perf_counter() - started
        _check_finite(sums[0], engine)
        history.append(_epoch(name, epoch, sums, engine.evaluate(training, validation), seconds))
        keeper.epoch_done(phase, history, engine.read(training))
    return history


def _check_finite(loss: float, engine: Engine) -> None:
    if math.isfinite(loss):
        return
    found = "NaN" if math.isnan(loss) else "infinite"
    step = engine.first_bad_step()
    where = f" at train_step {step}" if step is not None else ""
    raise StepError(f"loss is {found}{where}", remedy="lower learning_rate, or look at the rows of that train step")


def _epoch(name: str, epoch: int, sums: tuple[float, ...], held: tuple[float, ...], seconds: float) -> Epoch:
    loss, correct, rows = sums
    held_loss, held_correct, held_rows = held
    return Epoch(
        phase=name,
        epoch=epoch + 1,
        loss=loss / rows,
        accuracy=correct / rows,
        validation_loss=held_loss / max(held_rows, 1),
        validation_accuracy=held_correct / max(held_rows, 1),
        seconds=seconds,
        rows_per_second=rows / seconds,
    )
