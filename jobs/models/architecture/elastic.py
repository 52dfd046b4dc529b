"""One set of weights for all layouts of an architecture: each takes its part of the largest's (Cai et al., 2020).

A smaller kernel is the middle of a larger one, a narrower layer has the first channels, a shallower network the first
blocks of each stage. Layers of another kind of block have weights of their own. Unlike in Once-for-All, middles are not
transformed and channels not sorted. TensorFlow is imported here: only for workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jobs.data.preprocess import Preprocess
from jobs.models.architecture.counting import Convolution, Counted
from jobs.models.layers import Dropout, SpatialDropout, StochasticDepth
from jobs.models.model import HEAD, HEAD_DROPOUT, ModelSpec, build_to_train, weights_of

EPSILON = 1e-3  # Keras's, of batch normalisation
AVERAGES = ("moving_mean", "moving_variance")

Statistics = dict[str, tuple[Any, Any]]  # mean and variance by convolution


class Elastic:
    """The shared weights of `specs`, which differ in fields of their backbone's `architecture` alone.

    `weights` and `trainable_variables` are as a Keras model has them. `largest` is the index of the one with most.
    """

    def __init__(
        self, specs: Sequence[ModelSpec], preprocess: Preprocess, image: Any, classes: int, seed: int, folder: Path
    ) -> None:
        self.specs = specs
        self.counts = [spec.backbone.counted(image) or Counted() for spec in specs]
        sizes = [count.parameters for count in self.counts]
        self.kinds = _numbered([_kind(spec) for spec in specs])
        members = {kind: [i for i, own in enumerate(self.kinds) if own == kind] for kind in self.kinds}
        self.tops = [max(members[kind], key=sizes.__getitem__) for kind in sorted(members)]
        self.largest = max(range(len(specs)), key=sizes.__getitem__)
        self.features = np.array([count.features for count in self.counts], np.int32)
        start: dict[str, Any] = {}
        for top in self.tops:
            start |= weights_of(build_to_train(specs[top], preprocess, classes, seed, folder))
        self.named = {
            name: tf.Variable(value, name=name)
            for name, value in start.items()
            if name.rpartition("/")[2] not in AVERAGES
        }
        self.weights = self.trainable_variables = list(self.named.values())

    def sizes(self, name: str) -> Any:
        """Return `int32[candidates, 3]`: kernel, channels in and out of a convolution, 0 where there is none."""
        none = Convolution(0, 0, 0)
        return np.array([count.convolutions.get(name, none)[:3] for count in self.counts], np.int32)

    def logits(self, x: Any, candidate: Any, training: bool) -> Any:
        """Return `float32[rows, classes]` of a candidate (an index, or an int32 scalar of one), in batch statistics."""
        through = [partial(self._through, top, x, candidate, training) for top in self.tops]
        if len(through) == 1:
            return through[0]()
        return tf.switch_case(tf.gather(tf.constant(self.kinds), candidate), through)

    def _through(self, top: int, x: Any, candidate: Any, training: bool) -> Any:
        return self.passed(_Traced(self, candidate, training), top, x)

    def passed(self, layers: Any, top: int, x: Any) -> Any:
        """Return the logits of `x` passed through the network of `top` by `layers`."""
        spec = self.specs[top]
        features = spec.backbone.through(layers, x)
        if spec.dropout and layers.training:
            features = Dropout(spec.dropout, name=HEAD_DROPOUT)(features, training=True)
        kernel = self.named[f"{HEAD}/kernel"][: layers.of(self.features)]
        return tf.matmul(features, kernel) + self.named[f"{HEAD}/bias"]

    def calibrated(self, x: Any, candidate: int) -> Statistics:
        """Return the statistics of batch normalisation of one candidate on the rows `x`, all at once."""
        layers = _Plain(self, candidate, None)
        self.passed(layers, self.tops[self.kinds[candidate]], x)
        return layers.found

    def answers(self, x: Any, candidate: int, statistics: Statistics) -> Any:
        """Return the logits `float32[rows, classes]` of one candidate with these statistics."""
        return self.passed(_Plain(self, candidate, statistics), self.tops[self.kinds[candidate]], x)

    def weights_for(self, candidate: int, statistics: Statistics) -> dict[str, Any]:
        """Return the weights of one candidate by name, as its own model has them."""
        layers, found = _Plain(self, candidate, statistics), {}
        for name, (mean, variance) in statistics.items():
            made = self.counts[candidate].convolutions[name]
            kind = "depthwise_kernel" if made.depthwise else "kernel"
            found[f"{name}/{kind}"] = layers.part(name, made.depthwise).numpy()
            for own in ("gamma", "beta"):
                found[f"{name}_norm/{own}"] = self.named[f"{name}_norm/{own}"][: made.channels].numpy()
            found |= {f"{name}_norm/moving_mean": mean.numpy(), f"{name}_norm/moving_variance": variance.numpy()}
        found[f"{HEAD}/kernel"] = self.named[f"{HEAD}/kernel"][: self.features[candidate]].numpy()
        return found | {f"{HEAD}/bias": self.named[f"{HEAD}/bias"].numpy()}


class _Layers:
    """Layers that take their part of the shared weights: in place of those that make their own (`Named`)."""

    def __init__(self, shared: Elastic, candidate: Any, training: bool) -> None:
        self.shared, self.candidate, self.training = shared, candidate, training

    def of(self, table: Any) -> Any:
        """Return the candidate's entry of a table."""
        raise NotImplementedError

    def normalise(self, x: Any, name: str, gamma: Any, beta: Any) -> Any:
        """Return `x` normalised."""
        raise NotImplementedError

    def part(self, name: str, depthwise: bool = False) -> Any:
        """Return the candidate's part of a kernel."""
        whole = self.shared.named[f"{name}/{'depthwise_kernel' if depthwise else 'kernel'}"]
        sizes = self.of(self.shared.sizes(name))
        kernel, channels_in, channels = sizes[0], sizes[1], sizes[2]
        first = (whole.shape[0] - kernel) // 2
        return tf.slice(whole, [first, first, 0, 0], [kernel, kernel, channels_in, 1 if depthwise else channels])

    def rescale(self, x: Any) -> Any:
        """Bring pixel values from 0…255 to -1…1."""
        return tf.cast(x, tf.float32) * (1 / 127.5) - 1.0

    def convolve(self, x: Any, width: int, kernel: int, stride: int, name: str, activate: bool = True) -> Any:
        """Convolution, batch normalisation, and a ReLU unless `activate` is false."""
        if kernel == 1 and stride > 1:
            x, stride = x[:, ::stride, ::stride, :], 1
        return self._normalised(tf.nn.conv2d(x, self.part(name), stride, "SAME"), name, activate)

    def depthwise(self, x: Any, kernel: int, stride: int, name: str) -> Any:
        """Convolution of each channel by itself, batch normalisation and a ReLU."""
        x = tf.raw_ops.DepthwiseConv2dNative(
            input=x, filter=self.part(name, True), strides=[1, stride, stride, 1], padding="SAME"
        )
        return self._normalised(x, name, True)

    def _normalised(self, x: Any, name: str, activate: bool) -> Any:
        channels = self.of(self.shared.sizes(name))[2]
        gamma, beta = (self.shared.named[f"{name}_norm/{own}"][:channels] for own in ("gamma", "beta"))
        x = self.normalise(x, name, gamma, beta)
        return tf.nn.relu(x) if activate else x

    def drop_channels(self, x: Any, rate: float, name: str) -> Any:
        """Drop whole channels in training."""
        return SpatialDropout(rate, name=name)(x, training=True) if rate and self.training else x

    def leave_out(self, x: Any, rate: float, name: str) -> Any:
        """Leave a residual branch out in training."""
        return StochasticDepth(rate, name=name)(x, training=True) if rate and self.training else x

    def join(self, shortcut: Any, x: Any, name: str) -> Any:
        """Add the shortcut and apply a ReLU."""
        return tf.nn.relu(shortcut + x)

    def pool(self, x: Any) -> Any:
        """Average over height and width."""
        return tf.reduce_mean(x, [1, 2])


class _Traced(_Layers):
    """For a candidate that is only known when the graph runs."""

    def of(self, table: Any) -> Any:
        """Look it up in the graph, unless all candidates have the same."""
        if (table == table[:1]).all():
            return table[0]
        return tf.gather(tf.constant(table), self.candidate)

    def block(self, x: Any, body: Callable[[Any], Any], name: str) -> Any:
        """Apply `body` where the candidate has the block."""
        present = np.array([name in count.blocks for count in self.shared.counts])
        return body(x) if present.all() else tf.cond(self.of(present), lambda: body(x), lambda: tf.identity(x))

    def normalise(self, x: Any, name: str, gamma: Any, beta: Any) -> Any:
        """Normalise by the batch."""
        return tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=EPSILON, is_training=True)[0]


class _Plain(_Layers):
    """For one candidate, at once: by the statistics given, or the batch's, which are kept."""

    def __init__(self, shared: Elastic, candidate: int, statistics: Mapping[str, Any] | None) -> None:
        super().__init__(shared, candidate, False)
        self.statistics, self.found = statistics, dict[str, tuple[Any, Any]]()

    def of(self, table: Any) -> Any:
        """Look it up."""
        return table[self.candidate]

    def block(self, x: Any, body: Callable[[Any], Any], name: str) -> Any:
        """Apply `body` if the candidate has the block."""
        return body(x) if name in self.shared.counts[self.candidate].blocks else x

    def normalise(self, x: Any, name: str, gamma: Any, beta: Any) -> Any:
        """Normalise by what was given, or by the batch."""
        if self.statistics is not None:
            return tf.nn.batch_normalization(x, *self.statistics[name], beta, gamma, EPSILON)
        x, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=EPSILON, is_training=True)
        self.found[name] = (mean, variance)
        return x


def _kind(spec: ModelSpec) -> tuple[Any, ...]:
    """Return what candidates must have in common to share every layer."""
    backbone = spec.backbone
    fields = [field for field in type(backbone).architecture if field not in type(backbone).elastic]
    return tuple(getattr(backbone, field) for field in fields)


def _numbered(found: Sequence[Any]) -> list[int]:
    kinds = list(dict.fromkeys(found))
    return [kinds.index(kind) for kind in found]
