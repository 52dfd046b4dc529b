"""Counts what an architecture holds and multiplies, from its fields alone: nothing is built, nothing heavy imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

FLOAT = 4  # bytes
NORM = 4  # numbers a channel of batch normalisation: two learnt, two averages


class Size(NamedTuple):
    """What a layer of images gives, for one row."""

    height: int
    width: int
    channels: int


class Convolution(NamedTuple):
    """A convolution of the architecture; a depthwise one has a filter a channel."""

    kernel: int
    channels_in: int
    channels: int
    depthwise: bool = False


class Counted:
    """Layers that are only counted: takes the place of those that make them (`Named`).

    `parameters` counts every weight, averages of batch normalisation included; `macs` the multiplications with weights
    of convolutions and products, for one row: not normalisation, additions and pooling.
    """

    def __init__(self) -> None:
        self.parameters = 0
        self.macs = 0
        self.features = 0
        self.convolutions: dict[str, Convolution] = {}
        self.blocks: list[str] = []

    def add(self, parameters: int, macs: int) -> None:
        """Count a layer."""
        self.parameters += parameters
        self.macs += macs

    def dense(self, width: int) -> None:
        """Count a product of the features with `width` outputs, and its biases."""
        self.add(self.features * width + width, self.features * width)

    def rescale(self, x: Size) -> Size:
        """Count nothing."""
        return x

    def convolve(self, x: Size, width: int, kernel: int, stride: int, name: str, activate: bool = True) -> Size:
        """Count a convolution and its normalisation."""
        return self._convolved(x, Convolution(kernel, x.channels, width), stride, name)

    def depthwise(self, x: Size, kernel: int, stride: int, name: str) -> Size:
        """Count a depthwise convolution and its normalisation."""
        return self._convolved(x, Convolution(kernel, x.channels, x.channels, depthwise=True), stride, name)

    def _convolved(self, x: Size, made: Convolution, stride: int, name: str) -> Size:
        self.convolutions[name] = made
        size = Size(-(-x.height // stride), -(-x.width // stride), made.channels)
        weights = made.kernel**2 * made.channels * (1 if made.depthwise else made.channels_in)
        self.add(weights + NORM * made.channels, weights * size.height * size.width)
        return size

    def block(self, x: Size, body: Callable[[Size], Size], name: str) -> Size:
        """Count what is in a block."""
        self.blocks.append(name)
        return body(x)

    def drop_channels(self, x: Size, rate: float, name: str) -> Size:
        """Count nothing."""
        return x

    def leave_out(self, x: Size, rate: float, name: str) -> Size:
        """Count nothing."""
        return x

    def join(self, shortcut: Size, x: Size, name: str) -> Size:
        """Count nothing."""
        return x

    def pool(self, x: Size) -> Size:
        """Note how many features come out."""
        self.features = x.channels
        return x


def costs(model: Any, image: Any, classes: int) -> dict[str, float] | None:
    """Return `parameter_bytes` (float32) and `macs` (one row) of a ModelSpec on images of `image`, or on texts.

    None where the backbone can only be counted once it is built.
    """
    counted = model.backbone.counted(image)
    if counted is None:
        return None
    counted.dense(classes)
    return {"parameter_bytes": float(FLOAT * counted.parameters), "macs": float(counted.macs)}
