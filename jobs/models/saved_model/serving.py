"""A trained model as a SavedModel, for what LiteRT cannot run, and its runner: only where TensorFlow may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from jobs.models.saved_model.graph import require_ops


def write_saved_model(model: Any, folder: Path) -> None:
    """Write `model` (rows in, logits out) to `folder`, to be called by its one signature."""
    given = model.inputs[0]

    @tf.function(input_signature=[tf.TensorSpec(given.shape, given.dtype, name="rows")])  # type: ignore[untyped-decorator]
    def serve(rows: Any) -> dict[str, Any]:
        return {"logits": tf.cast(model(rows, training=False), tf.float32)}

    tf.saved_model.save(model, str(folder), signatures=serve)


class SavedModelRunner:
    """Runs a SavedModel with TensorFlow as `Runner` runs a LiteRT file: prepared rows in, logits out."""

    def __init__(self, folder: Path) -> None:
        require_ops(folder)
        self._loaded = tf.saved_model.load(str(folder))  # kept: the signature does not keep it
        self._serve = self._loaded.signatures["serving_default"]

    def logits(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return `float32[rows, classes]` for prepared rows."""
        result: NDArray[np.float32] = self._serve(rows=tf.constant(rows))["logits"].numpy()
        return result
