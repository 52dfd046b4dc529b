"""Epochs, history and checkpoints of one training; it never asks which strategy drives it, and knows no Ray."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from cluster.errors import StepError
from jobs.artifacts import Epoch, Timing
from jobs.progress import Begun, Progress
from jobs.recipe import EarlyStopping, Recipe, TrainRecipe
from jobs.strategies.strategy import Engine
from jobs.teaching.softening import Softening


class Gradient(NamedTuple):
    """The form of one variable's gradient."""

    shape: tuple[int, ...]
    dtype: Any
    indices: Any = None  # the type of the indices of an embedding's rows that were looked up; None where it is dense

    @classmethod
    def of(cls, gradient: Any, variable: Any) -> Gradient:
        """Take the form of `gradient`, a tensor or indexed slices, that has the shape of `variable`."""
        import tensorflow as tf

        indices = gradient.indices.dtype if isinstance(gradient, tf.IndexedSlices) else None
        return cls(tuple(variable.shape), gradient.dtype, indices)


@dataclass
class Training:
    """A model under training: its loss, its optimizer, and what hooks in before each train step."""

    model: Any
    optimizer: Any
    seed: int
    l1: Any = 0.0  # a number, or a variable
    l2: Any = 0.0
    label_smoothing: float = 0.0
    class_weights: Sequence[float] | None = None
    scales_loss: bool = False
    softening: Softening | None = None
    classes: int | None = None  # so many outputs of the model are logits, what comes behind them is features; None: all
    before_step: list[Callable[[Any], None]] = field(default_factory=list)
    gradients: list[Gradient] = field(default_factory=list)  # noted when a train step is traced
    alone: Callable[[int], bool] = lambda train_step: False  # whether it changes more than gradients do, such as masks
    penalties: list[Callable[[], Any]] = field(default_factory=list)  # added to the loss of a global batch
    built: bool = False

    def build(self) -> None:
        """Make the optimizer's own variables, once: a second time it would begin other averages than were traced."""
        if not self.built:
            self.optimizer.build(self.model.trainable_variables)
            self.built = True

    def apply(self, batch: Any, replicas: int) -> tuple[Any, Any, Any]:
        """Take one train step on a replica's shard; return its sums of loss, correct rows and rows."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            outputs = tf.cast(self.model(batch.x, training=True), tf.float32)
            losses = self.losses(batch, outputs) * batch.weights
            objective = tf.reduce_sum(losses) * batch.scale + self.penalty() / replicas
            if self.scales_loss:
                objective = self.optimizer.get_scaled_loss(objective)
        variables = self.model.trainable_variables
        gradients = tape.gradient(objective, variables)
        if self.scales_loss:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        pairs = list(zip(gradients, variables, strict=True))
        self.gradients = [Gradient.of(gradient, variable) for gradient, variable in pairs if gradient is not None]
        self.optimizer.apply_gradients(pairs)
        return sums_of(batch, outputs[:, : self.classes], losses)

    def losses(self, batch: Any, outputs: Any) -> Any:
        """Return the loss of each row, `float32[rows]`.

        It is the cross-entropy, of both its classes where rows were mixed; with a teacher, its soft targets' and, where
        they are matched, its features' too.
        """
        logits = outputs[:, : self.classes]
        own, other = self._cross_entropy(batch.y, logits), self._cross_entropy(batch.other, logits)
        losses = batch.share * own + (1 - batch.share) * other
        if self.softening is None:
            return losses
        losses = self.softening.blend(losses, batch.teacher[:, : self.classes], logits)
        if self.classes is None:
            return losses
        return losses + self.softening.apart(batch.teacher[:, self.classes :], outputs[:, self.classes :])

    def _cross_entropy(self, labels: Any, logits: Any) -> Any:
        import tensorflow as tf

        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        if self.label_smoothing:
            uniform = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=1)
            losses = (1 - self.label_smoothing) * losses + self.label_smoothing * uniform
        if self.class_weights is not None:
            losses *= tf.gather(tf.constant(self.class_weights, tf.float32), labels)
        return losses

    def penalty(self) -> Any:
        """Return the L1 and L2 penalties on kernels and embeddings, and what else was added."""
        import tensorflow as tf

        from jobs.models.model import penalised

        total = tf.zeros([])
        acts = any(not isinstance(weight, float) or weight for weight in (self.l1, self.l2))
        for variable in penalised(self.model) if acts else []:
            total += self.l1 * tf.reduce_sum(tf.abs(variable)) + self.l2 * tf.reduce_sum(tf.square(variable))
        return sum((penalty() for penalty in self.penalties), total)

    def measure(self, batch: Any) -> tuple[Any, Any, Any]:
        """Return a shard's sums of loss, correct rows and rows, in inference."""
        import tensorflow as tf

        logits = tf.cast(self.model(batch.x, training=False), tf.float32)[:, : self.classes]
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch.y, logits) * batch.weights
        return sums_of(batch, logits, losses)


def sums_of(batch: Any, logits: Any, losses: Any) -> tuple[Any, Any, Any]:
    """Return a shard's sums of loss, correct rows and rows."""
    import tensorflow as tf

    correct = tf.cast(tf.equal(tf.argmax(logits, 1, tf.int32), batch.y), tf.float32) * batch.weights
    return tf.reduce_sum(losses), tf.reduce_sum(correct), tf.reduce_sum(batch.weights)


class Keeper(Protocol):
    """Keeps checkpoints and passes on what an epoch showed; every worker calls it at the same points."""

    keeps: bool  # whether `epoch_done` has a use for the state of the training, which takes time to read

    def resume(self, phase: int) -> Progress | None:
        """Return the newest good checkpoint of `phase`, or None to start afresh."""

    def ahead(self, left: int) -> int:
        """Return how many of the `left` train steps to take before it is asked again: the same in every worker."""

    def wanted(self) -> bool:
        """Say, the same in every worker, whether a checkpoint must be kept now: soon there may be no time for one."""

    def steps_done(self, phase: int, progress: Progress) -> None:
        """Keep a checkpoint within an epoch."""

    def epoch_done(self, phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
        """Keep a checkpoint of the epoch that ended last."""


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

    Ends in the weights of the last epoch, or of the best one when the recipe stops early; with a moving average, in
    that. Raises StepError naming the train step when the loss stops being finite.
    """
    with engine.scope():
        training.build()
    averaged = isinstance(recipe, TrainRecipe) and recipe.ema is not None
    stopping = recipe.early_stopping if isinstance(recipe, TrainRecipe) else None
    kept = keeper.resume(phase) or Progress([], Begun(), {})
    history, begun = kept.history, kept.begun
    best = {f"w/{name[2:]}": value for name, value in kept.arrays.items() if name.startswith(BEST)}
    engine.restore(training, kept.arrays)

    def with_best(arrays: dict[str, Any]) -> dict[str, Any]:
        return arrays | {f"{BEST}{name[2:]}": value for name, value in best.items()}

    def keep(so_far: Begun) -> None:
        keeper.steps_done(phase, Progress(history, so_far, with_best(engine.read(training))))

    for epoch in range(len(history), recipe.epochs):
        if stopping is not None and is_over(history, stopping):
            break
        begun = _to_the_end(engine, training, train, epoch, begun, recipe.checkpoint_every, keeper, keep)
        timing = engine.timing()
        arrays = engine.read(training) if averaged or keeper.keeps else {}
        if averaged:
            training.optimizer.finalize_variable_values(training.model.trainable_variables)
        facts = engine.facts()
        history.append(_epoch(name, epoch, begun, engine.evaluate(training, validation), timing, facts))
        if stopping is not None and best_epoch(history, stopping.metric) == len(history):
            best = _weights(engine.read(training))
        if averaged:
            engine.restore(training, arrays)
        keeper.epoch_done(phase, history, with_best(arrays))
        begun = Begun()
    if averaged:
        training.optimizer.finalize_variable_values(training.model.trainable_variables)
    engine.restore(training, best)
    return history


def _to_the_end(
    engine: Engine,
    training: Training,
    feed: Any,
    epoch: int,
    begun: Begun,
    every: int | None,
    keeper: Keeper,
    keep: Callable[[Begun], None],
) -> Begun:
    """Train to the end of an epoch that has `begun`; `keep` its state every so many steps, and when it is wanted."""
    steps = engine.steps(feed)
    every = every or steps
    started = time.perf_counter() - begun.seconds
    while begun.train_steps < steps:
        count = keeper.ahead(min(every - begun.train_steps % every, steps - begun.train_steps))
        first = epoch * steps + begun.train_steps
        sums = engine.train(training, feed, first, first + count)
        begun = begun.after(count, sums, time.perf_counter() - started)
        _check_finite(sums[0], engine)
        due = begun.train_steps < steps and begun.train_steps % every == 0
        if keeper.wanted() or due:
            keep(begun)
    return replace(begun, seconds=time.perf_counter() - started)


HEAD_ALONE = "head"  # the phase in which no more is trained
BEST = "b/"  # weights of the best epoch in a checkpoint, beside those of the last


def _weights(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arrays.items() if name.startswith("w/")}


def best_epoch(history: Sequence[Epoch], metric: str) -> int:
    """Return the number, from one, of the first epoch with the least validation loss or the highest accuracy."""
    values = [e.validation_loss if metric == "loss" else -e.validation_accuracy for e in history]
    return values.index(min(values)) + 1


def is_over(history: Sequence[Epoch], stopping: EarlyStopping) -> bool:
    """Say whether the last `patience` epochs brought nothing better."""
    return bool(history) and len(history) - best_epoch(history, stopping.metric) >= stopping.patience


def _check_finite(loss: float, engine: Engine) -> None:
    if math.isfinite(loss):
        return
    found = "NaN" if math.isnan(loss) else "infinite"
    step = engine.first_bad_step()
    where = f" at train_step {step}" if step is not None else ""
    raise StepError(f"loss is {found}{where}", remedy="lower learning_rate, or look at the rows of that train step")


def _epoch(
    name: str, epoch: int, ended: Begun, held: tuple[float, ...], timing: Timing | None, facts: dict[str, float]
) -> Epoch:
    loss, correct, rows = ended.sums
    held_loss, held_correct, held_rows = held
    return Epoch(
        phase=name,
        epoch=epoch + 1,
        loss=loss / rows if rows else math.nan,
        accuracy=correct / rows if rows else math.nan,
        validation_loss=held_loss / max(held_rows, 1),
        validation_accuracy=held_correct / max(held_rows, 1),
        seconds=ended.seconds,
        rows_per_second=rows / ended.seconds,
        timing=timing,
        facts=facts,
    )
