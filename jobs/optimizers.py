"""Optimizers as recipes ask for them: rates over train steps, one rate or two, decoupled decay, averages, loss scaling.

TensorFlow is imported here: only for workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import Any

import tensorflow as tf
import tf_keras as keras

from jobs.models.weights.wholes import KERNELS, PART
from jobs.recipe import Recipe, TrainRecipe

SERVER = "job:ps"  # in the name of a parameter server's device
DROPS, DROP = (0.5, 0.75), 0.1
NOT_DECAYED = rf"^(?!.*({KERNELS})({PART})?(:0)?$)"  # biases and normalisation; keras searches names with it


class Rate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A rate that rises linearly over `rise` of `steps` train steps, then follows the recipe's schedule."""

    def __init__(self, recipe: Recipe, peak: float, steps: int) -> None:
        self.recipe, self.peak, self.steps = recipe, peak, steps
        self.rise = int(recipe.warmup * steps)
        self.past: Any = 0.0  # train steps before the optimizer's own first one
        self.pace = 1.0  # train steps that one of the optimizer's counts for

    def __call__(self, step: Any) -> Any:
        """Return the rate at the optimizer's `step`, worked out where that is: on a server, without a call to it."""
        place = getattr(step, "device", "") or ""
        with tf.device(place) if SERVER in place else nullcontext():
            return self._at(step)

    def _at(self, step: Any) -> Any:
        step = self.past + self.pace * tf.cast(step, tf.float32)
        risen = tf.minimum(step / self.rise, 1.0) if self.rise else 1.0
        return self.peak * risen * self._factor(step)

    def _factor(self, step: Any) -> Any:
        if self.recipe.schedule == "cosine":
            past = (step - self.rise) / max(1, self.steps - self.rise)
            return 0.5 * (1 + tf.cos(3.141592653589793 * tf.clip_by_value(past, 0.0, 1.0)))
        if self.recipe.schedule == "piecewise":
            drops = self.recipe.drops if self.recipe.drops is not None else DROPS
            drop = DROP if self.recipe.drop is None else self.recipe.drop
            fallen = tf.reduce_sum([tf.cast(step >= at * self.steps, tf.float32) for at in drops] or [0.0])
            return tf.pow(tf.constant(drop), fallen)
        return tf.constant(1.0)

    def get_config(self) -> dict[str, Any]:
        """Return what the schedule was made of."""
        return {"recipe": self.recipe.model_dump(mode="json"), "peak": self.peak, "steps": self.steps}


def optimizer_of(recipe: Recipe, train_steps: int, peak: float | None = None) -> Any:
    """Make the optimizer; its rate follows the recipe's schedule over `train_steps`, scaled with the batch if asked.

    In float16 it scales the loss.
    """
    average = recipe.ema if isinstance(recipe, TrainRecipe) else None
    options = {
        "weight_decay": recipe.weight_decay or None,
        "global_clipnorm": recipe.clip_norm,
        "use_ema": average is not None,
        "ema_momentum": average or 0.99,
    }
    rate = Rate(recipe, (recipe.learning_rate if peak is None else peak) * recipe.rate_scale(), train_steps)
    if recipe.optimizer == "sgd":
        made = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, **options)
    else:
        made = keras.optimizers.Adam(rate, **options)
    if recipe.weight_decay:
        made.exclude_from_weight_decay(var_names=[NOT_DECAYED])
    return Scaling(made) if recipe.precision == "mixed_float16" else made


def train_optimizer_of(recipe: TrainRecipe, train_steps: int, in_head: Callable[[Any], bool]) -> Any:
    """Make the optimizer of a training: with two rates when the recipe has two."""
    head = optimizer_of(recipe, train_steps)
    if recipe.backbone_learning_rate is None:
        return head
    return TwoRates(head, optimizer_of(recipe, train_steps, recipe.backbone_learning_rate), in_head)


class Scaling:
    """An optimizer that scales the loss, so that float16 gradients do not vanish (Micikevicius et al., 2018).

    A train step whose gradients overflow is skipped, and the scale halved. Its state is kept with checkpoints.
    """

    def __init__(self, plain: Any) -> None:
        self.scaled = keras.mixed_precision.LossScaleOptimizer(plain)
        self.build = self.scaled.build
        self.apply_gradients = self.scaled.apply_gradients
        self.finalize_variable_values = self.scaled.finalize_variable_values
        self.get_scaled_loss = self.scaled.get_scaled_loss
        self.get_unscaled_gradients = self.scaled.get_unscaled_gradients

    @property
    def variables(self) -> list[Any]:
        """The optimizer's variables, the scale and the train steps since it changed."""
        return [*self.scaled.variables, self.scaled._loss_scale.current_loss_scale, self.scaled.dynamic_counter]


class TwoRates:
    """Two optimizers as one: the head's and the backbone's. Each clips the gradient of its own variables."""

    def __init__(self, head: Any, backbone: Any, in_head: Callable[[Any], bool]) -> None:
        self.head, self.backbone, self.in_head = head, backbone, in_head

    def _both(self, items: Sequence[Any], variable: Callable[[Any], Any]) -> Iterator[tuple[Any, list[Any]]]:
        yield self.head, [item for item in items if self.in_head(variable(item))]
        yield self.backbone, [item for item in items if not self.in_head(variable(item))]

    def build(self, variables: Sequence[Any]) -> None:
        """Make the optimizers' own variables."""
        for optimizer, mine in self._both(variables, lambda v: v):
            optimizer.build(mine)

    def apply_gradients(self, pairs: Any) -> None:
        """Apply (gradient, variable) pairs, each by the optimizer of its variable."""
        for optimizer, mine in self._both(list(pairs), lambda pair: pair[1]):
            optimizer.apply_gradients(mine)

    def finalize_variable_values(self, variables: Sequence[Any]) -> None:
        """Put the moving averages into the variables."""
        for optimizer, mine in self._both(variables, lambda v: v):
            optimizer.finalize_variable_values(mine)

    def get_scaled_loss(self, loss: Any) -> Any:
        """Scale by the backbone's scale: what overflows in the head overflows in the backbone too, not the reverse."""
        return self.backbone.get_scaled_loss(loss)

    def get_unscaled_gradients(self, gradients: Any) -> Any:
        """Undo `get_scaled_loss`."""
        return self.backbone.get_unscaled_gradients(gradients)

    @property
    def variables(self) -> list[Any]:
        """The variables of both."""
        return list(chain(self.head.variables, self.backbone.variables))


def rates_of(optimizer: Any) -> list[Rate]:
    """Return the rates of an optimizer that was made here: one, or the head's and the backbone's."""
    rates = [plain._learning_rate for plain in _plains(optimizer)]
    assert all(isinstance(rate, Rate) for rate in rates), "every recipe's rate follows a schedule"
    return rates


def restart_averages(optimizer: Any, variables: Sequence[Any]) -> None:
    """Let the moving averages of an optimizer that has some begin anew at what the variables hold."""
    for plain in _plains(optimizer):
        for variable in variables if plain.use_ema else ():
            index = plain._index_dict.get(plain._var_key(variable))
            if index is not None:
                plain._model_variables_moving_average[index].assign(variable)


def _plains(optimizer: Any) -> list[Any]:
    both = (optimizer.head, optimizer.backbone) if isinstance(optimizer, TwoRates) else (optimizer,)
    return [plain_of(one) for one in both]


def plain_of(optimizer: Any) -> Any:
    """Return the optimizer that `optimizer_of` made, without what scales its loss."""
    return optimizer.scaled.inner_optimizer if isinstance(optimizer, Scaling) else optimizer


def at_hand(recipe: Any) -> Any:
    """Return a recipe, or the technique that is one, with the precision of the devices at hand."""
    chosen = precision_of(recipe, tf.config.list_physical_devices("GPU"))
    return recipe.model_copy(update={"precision": chosen})


def precision_of(recipe: Recipe, gpus: Sequence[Any]) -> str:
    """Return the precision to train in: `auto` is mixed where every GPU has units for it (compute capability)."""
    if recipe.precision != "auto":
        return recipe.precision
    capable = [tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus]
    if not capable or min(capable) < (7, 0):
        return "float32"
    return "mixed_bfloat16" if min(capable) >= (8, 0) else "mixed_float16"


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Build layers in this precision inside the block."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)
