"""Features behind logits: what the head of a model reads, brought to the width of another model's (FitNets)."""

from __future__ import annotations

from typing import Any

from cluster.errors import FinalError
from jobs.models.model import HEAD, HEAD_DROPOUT
from jobs.models.rewriting.layers import FACTOR

PROJECTION = "taught_features"  # the layer that a student has only while it learns


def with_features(model: Any, width: int | None = None, seed: int = 0) -> Any:
    """Return a model of the same layers that says logits and, behind them, features: `float32[rows, classes + width]`.

    Features of another width than `width` are brought to it by a dense layer that learns, as the regressor of FitNets
    (Romero et al., 2015) does; without `width` they are as they are. FinalError where no head of its own reads any.
    """
    import tf_keras as keras

    from jobs.models.layers import Named

    features = _features(model)
    if width is not None and features.shape[-1] != width:
        start = Named(seed).initializer(keras.initializers.GlorotUniform, PROJECTION)
        features = keras.layers.Dense(width, kernel_initializer=start, dtype="float32", name=PROJECTION)(features)
    both = keras.layers.Concatenate(dtype="float32", name="logits_and_features")([model.output, features])
    return keras.Model(model.input, both, name="model")


def _features(model: Any) -> Any:
    """Return what is read by the head, before its dropout and before what a factorisation put between."""
    if HEAD not in {layer.name for layer in model.layers}:
        wanted = "one head that reads the features of one backbone"
        raise FinalError("the features of the teacher", "are several members', or none", wanted, "set features to 0")
    features = model.get_layer(HEAD).input
    while (maker := features.node.layer).name == HEAD_DROPOUT or maker.name.startswith(f"{HEAD}{FACTOR}"):
        features = maker.input
    return features


def without_projection(weights: dict[str, Any]) -> dict[str, Any]:
    """Return the weights of the student alone."""
    return {name: value for name, value in weights.items() if name.split("/")[0] != PROJECTION}
