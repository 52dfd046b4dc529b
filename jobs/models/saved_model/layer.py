"""The Keras layer that gives a SavedModel's features for prepared rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras as keras
from tensorflow_hub.keras_layer import func_has_training_argument

from cluster.errors import StepError
from jobs.models.saved_model import functions
from jobs.models.saved_model.functions import Function, choose
from jobs.models.saved_model.graph import load

MASK = "input_mask"
IMAGES = "images float32[?, height, width, channels]"
TEXTS = "texts string[?]"
PACKED = "input_word_ids, input_mask and input_type_ids, int32[?, length] each"


class Part:
    """A loaded SavedModel and the one way it is called."""

    def __init__(self, module: Any, function: Function) -> None:
        self.module, self.function = module, function
        self._call = module if function.signature is None else module.signatures[function.signature]
        self._phases = function.signature is None and func_has_training_argument(module)

    def __call__(self, inputs: Any, training: bool) -> dict[str, Any]:
        """Return every output by name."""
        options = {"training": training} if self._phases else {}
        if self.function.signature is None:
            made = self._call(inputs, **options)
        elif isinstance(inputs, Mapping):
            made = self._call(**inputs)
        else:
            made = self._call(**{next(iter(self.function.inputs)): inputs})
        if isinstance(made, Mapping):
            return dict(made)
        return {str(place): part for place, part in enumerate(made)} if isinstance(made, list | tuple) else {"": made}


def image_part(folder: Path, subject: str, signature: str | None) -> Part:
    """Load a module that takes images."""
    module = load(folder)
    return Part(module, choose(module, subject, IMAGES, functions.takes_images, signature))


def text_parts(folder: Path, preprocessor: Path | None, subject: str, signature: str | None) -> list[Part]:
    """Load a module that takes texts, or the preprocessor and the encoder of a pair."""
    if preprocessor is None:
        module = load(folder)
        return [Part(module, choose(module, subject, TEXTS, functions.takes_texts, signature))]
    before, module = load(preprocessor), load(folder)
    wanted = f"{TEXTS} and make {PACKED}"
    first = Part(before, choose(before, f"{subject}'s preprocessor", wanted, functions.makes_packed))
    last = Part(module, choose(module, subject, PACKED, functions.takes_packed, signature))
    made, taken = (specs[MASK].shape[1] for specs in (first.function.outputs, last.function.inputs))
    if None not in (made, taken) and made != taken:
        raise StepError(subject, f"takes {taken} tokens a text", f"{made}, which its preprocessor makes")
    return [first, last]


class Features(keras.layers.Layer):  # type: ignore[misc]
    """Features `float32[rows, width]` of a SavedModel.

    A feature map is averaged over height and width, a sequence over the tokens its mask keeps. A frozen module's
    variables are no weights of this layer: they stay in the module's own files.
    """

    def __init__(self, parts: list[Part], output: str | None, subject: str, trainable: bool, **options: Any) -> None:
        super().__init__(trainable=trainable, dtype="float32", **options)  # whatever the precision of the rest
        self.parts = parts
        self.modules = [part.module for part in parts]  # tracked, so that an export holds them
        self.subject = subject
        self.output_name = functions.output_of(parts[-1].function, subject, output)
        if trainable:
            self._take_weights(parts[-1])

    def _take_weights(self, part: Part) -> None:
        """Make the module's variables this layer's weights."""
        found = _variables(part.module)
        # Hub's interface lets a module list what to train; without the list, the variables themselves say.
        listed = getattr(part.module, "trainable_variables", [v for v in found if v.trainable])
        if part.function.signature is not None or not listed:
            has = "has nothing to train" if part.function.signature is None else "is called by a signature"
            wanted = "a module that can itself be called and has trainable variables"
            raise StepError(self.subject, has, wanted, "set trainable: false")
        trained = {id(variable) for variable in listed}
        self._trainable_weights.extend(v for v in found if id(v) in trained)
        self._non_trainable_weights.extend(v for v in found if id(v) not in trained)

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Return the features of `inputs`: `float32[rows, h, w, c]` of 0…1, or `string[rows]`."""
        *before, last = self.parts
        for part in before:
            made = part(inputs, False)
            inputs = {name: made[name] for name in last.function.inputs}
        made = last(inputs, bool(training) and self.trainable)[self.output_name]
        return self._vectors(tf.cast(made, tf.float32), inputs)

    def _vectors(self, made: Any, inputs: Any) -> Any:
        rank = made.shape.rank
        if rank == 4:
            made = tf.reduce_mean(made, [1, 2])
        elif rank == 3 and isinstance(inputs, Mapping):
            mask = tf.cast(inputs[MASK], tf.float32)[:, :, None]
            made = tf.reduce_sum(made * mask, 1) / tf.maximum(tf.reduce_sum(mask, 1), 1.0)
        elif rank != 2:
            raise StepError(self.subject, f"gives features of shape {made.shape}", "one vector a row")
        if made.shape[-1] is None:
            raise StepError(self.subject, "does not say how wide its features are", "a width in its signature")
        return made

    def count_params(self) -> int:
        """Return the number of the module's parameters, frozen ones too."""
        return sum(int(tf.size(v)) for module in self.modules for v in _variables(module) if v.dtype.is_floating)


def _variables(module: Any) -> list[Any]:
    """Return the variables a module lists, as Hub's interface lets it, else all that can be found in it."""
    things = tf.train.TrackableView(module).descendants()
    return list(getattr(module, "variables", [thing for thing in things if isinstance(thing, tf.Variable)]))
