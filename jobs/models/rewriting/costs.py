"""What a model costs with any number of its channels left, from the shapes of its weights alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.models.rewriting.flow import Flow, Parts

FLOAT = 4  # bytes
Measure = Literal["macs", "parameters", "bytes"]


@dataclass(frozen=True)
class Cost:
    """What a model costs: its parameters, multiplications with weights for a row, and bytes of its float32 file."""

    parameters: int
    macs: int
    bytes: int


@dataclass(frozen=True)
class Costs:
    """What the layers of a flow cost with any number of channels left; `shapes` are of the weights by name."""

    flow: Flow
    shapes: Mapping[str, Sequence[int]]
    positions: Mapping[str, int]  # by layer: at how many places of a row it is applied

    def of(self, left: Mapping[str, int]) -> Cost:
        """Return the cost of the model with `left` channels of each root; what is not named is whole."""
        parameters = macs = spared = 0
        for name, shape in self.shapes.items():
            layer, _, part = name.rpartition("/")
            size = 1
            for axis in self._left(layer, part, shape, left):
                size *= axis
            parameters += size
            if part in ("kernel", "depthwise_kernel"):
                macs += size * self.positions.get(layer, 1)
            if part in ("gamma", "moving_mean", "moving_variance") and layer in self.flow.carries:
                spared += size  # folded into the convolution before it, but for one number a channel
        return Cost(parameters, macs, FLOAT * (parameters - spared))

    def _left(self, layer: str, part: str, shape: Sequence[int], left: Mapping[str, int]) -> Iterator[int]:
        """Yield the sizes of a weight's axes."""
        axes = list(shape)
        if layer in self.flow.reads:
            if part == "kernel" and (read := self.flow.reads[layer]):
                axes[-2] = self._count(read, left)
            axes[-1] = self._count((layer,), left)
        elif layer in self.flow.carries:
            axes[-2 if part == "depthwise_kernel" else -1] = self._count(self.flow.carries[layer], left)
        yield from axes

    def _count(self, parts: Parts, left: Mapping[str, int]) -> int:
        roots = [self.flow.root.get(part, part) for part in parts]
        return sum(left.get(root, self.flow.channels[part]) for root, part in zip(roots, parts, strict=True))
