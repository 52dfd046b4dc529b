"""What the workers of stochastic weight averaging do: train a model on, with the mean of its epochs beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs.fit import Training, fit
from jobs.fusing.fuse import write
from jobs.fusing.members import Members
from jobs.fusing.methods.method import Fusing, Made
from jobs.fusing.methods.swa import Swa
from jobs.fusing.settling import settle
from jobs.models.model import build, load_weights, weights_of
from jobs.recipe import TrainRecipe
from jobs.strategies import DEFAULT
from jobs.training import class_weights, feeds_of


class Mean:
    """The momentum of a moving average that is a plain mean over the ends of epochs, and of where it all began.

    It stands where Keras's optimizer multiplies with its momentum. It is a function of the optimizer's own count of
    train steps, so that nothing has to be kept of it.
    """

    def __init__(self, optimizer: Any, steps: int) -> None:
        self.optimizer, self.steps = optimizer, steps  # steps: of an epoch

    def now(self) -> Any:
        """Return n / (n + 1) when the n-th of further values joins, 1 within an epoch."""
        import tensorflow as tf

        taken = tf.cast(self.optimizer.iterations, tf.int64) + 1
        epochs = tf.cast(taken // self.steps, tf.float32)
        return tf.where(taken % self.steps == 0, epochs / (epochs + 1), 1.0)

    def __mul__(self, average: Any) -> Any:
        """Return what stays of the average."""
        return self.now() * average

    def __rsub__(self, one: float) -> Any:
        """Return what share the new value has."""
        return one - self.now()


@dataclass(frozen=True)
class SwaWork:
    """Trains the one member of `work` on as `method` says, and leaves the mean of its weights as the artifact."""

    method: Swa
    work: Fusing

    def __call__(self, engine: Any, keeper: Any) -> None:
        """Train in every worker; worker 0 settles, judges and writes the mean."""
        from jobs.optimizers import at_hand

        members = Members(self.work, DEFAULT.engine())  # worker 0 asks them by itself
        recipe: TrainRecipe = at_hand(self.method.recipe())
        training, feeds = self._begun(members, recipe, engine)
        keeper.tell({"start": "averaging", "epochs": recipe.epochs})
        history = fit(engine, training, *feeds, recipe, keeper, 0, "swa")
        weights = weights_of(training.model)
        if keeper.rank:
            return
        (spec,), (held,) = members.specs, members.models
        if spec.backbone.normalises_batches:
            weights = settle(members.built(spec, weights, held.rewrites), members.rows("train"))
        made = Made(spec, weights, [1.0], held.rewrites)
        write(self.method, members, made, self.work, self.method.strategy, keeper.tell, held.history + history)

    def _begun(self, members: Members, recipe: TrainRecipe, engine: Any) -> tuple[Training, tuple[Any, Any]]:
        """Return the training that goes on from the member, and what it is fed."""
        from jobs.optimizers import optimizer_of, plain_of, precision

        (spec,), (held,), (folder,) = members.specs, members.models, members.paths
        feeds = feeds_of(members.dataset, held.preprocess, folder, recipe, engine.held)
        with engine.scope(), precision(recipe.precision):
            model = build(spec, held.preprocess, len(held.classes), recipe.seed, folder, held.rewrites)
            load_weights(model, members.weights[0], "the member")
            optimizer = optimizer_of(recipe, recipe.epochs * feeds[0].steps)
        plain_of(optimizer).ema_momentum = Mean(plain_of(optimizer), feeds[0].steps)
        training = Training(
            model, optimizer, recipe.seed, spec.l1, spec.l2, recipe.label_smoothing,
            class_weights(recipe, held.classes, feeds[0].rows.y), scales_loss=recipe.precision == "mixed_float16",
        )  # fmt: skip
        return training, feeds
