"""How channels flow through a model: which layers make them, carry them and read them, and so which can go together.

Pure: reads the config of a functional Keras model, the shapes of its weights and of its layers' outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAKERS = {
    "Conv1D": "channels",
    "Conv2D": "channels",
    "Dense": "neurons",
    "Embedding": "columns",
}  # of what kind of unit
CARRIERS = ("BatchNormalization", "DepthwiseConv2D")  # have weights for each channel, and mix none
PASSING = (
    "Activation", "AveragePooling2D", "Dropout", "FirstToken", "GlobalAveragePooling2D", "GlobalMaxPooling1D",
    "MaxPooling2D", "MeanOfTokens", "ReLU", "SpatialDropout", "StochasticDepth", "ZeroPadding2D",
)  # fmt: skip
SHARES, VALUES = "AttentionShares", "AttentionValues"
Parts = tuple[str, ...]  # the last axis of a tensor: by which layers its channels are made, in order
Shape = Sequence[int | None]


@dataclass
class Group:
    """Units that exist in several layers and are removed from all: `width` channels of each of `makers` a unit."""

    makers: list[str]
    kind: str
    units: int
    width: int = 1
    norms: list[str] = field(default_factory=list)  # batch normalisation of these channels alone
    heads: list[str] = field(default_factory=list)  # layers that work in as many heads as there are units


@dataclass
class Flow:
    """Who makes (`root` by layer), carries and reads the channels of each root, and which of them may be removed."""

    root: dict[str, str] = field(default_factory=dict)
    reads: dict[str, Parts] = field(default_factory=dict)
    carries: dict[str, Parts] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)  # by root
    groups: dict[str, Group] = field(default_factory=dict)  # by root: only what may be removed


def flow_of(config: Mapping[str, Any], shape_of: Callable[[str], Any]) -> Flow:
    """Return the flow of the model with this `config`; `shape_of(layer)` is a layer's output shape, or a list of them.

    What is added to something else, normalised over channels, or comes out of the model stays as it is.
    """
    tracing = _Tracing(shape_of)
    for layer in config["layers"]:
        tracing.pass_through(layer)
    for name, _, index in config["output_layers"]:
        tracing.keep(tracing.given[name, index])
    return tracing.flow()


class _Tracing:
    def __init__(self, shape_of: Callable[[str], Any]) -> None:
        self.shape_of = shape_of
        self.given: dict[tuple[str, int], Parts] = {}  # by layer and output
        self.made = Flow()
        self.joined: dict[str, str] = {}  # roots that are removed with another
        self.kept: set[str] = set()

    def pass_through(self, layer: Mapping[str, Any]) -> None:
        """Follow the channels through one layer."""
        name, kind, nodes = layer["name"], layer["class_name"], layer["inbound_nodes"]
        taken = [self.given[source, index] for node in nodes for source, _, index, *_ in node]
        config = layer["config"]
        alone = len(nodes) <= 1 and config.get("groups", 1) == 1
        if kind in MAKERS and alone:
            self._make(name, kind, () if kind == "Embedding" else taken[0])
        elif kind in CARRIERS and alone and config.get("depth_multiplier", 1) == 1:
            self._carry(name, kind, taken[0])
        elif kind in PASSING and alone and config.get("activation") != "softmax":
            self.given[name, 0] = taken[0]
        elif kind == "Concatenate" and config["axis"] in (-1, len(self.shape_of(name)) - 1):
            self.given[name, 0] = sum(taken, ())
        elif kind in (SHARES, VALUES):
            self._attend(name, config["heads"], taken)
        else:
            self._stop(name, taken)

    def keep(self, parts: Parts) -> None:
        """Note that none of these channels may be removed."""
        self.kept.update(parts)

    def _make(self, name: str, kind: str, read: Parts) -> None:
        size = self.shape_of(name)[-1]
        self.made.reads[name], self.made.channels[name] = read, size
        self.made.groups[name] = Group([name], MAKERS[kind], size)
        self.given[name, 0] = (name,)

    def _carry(self, name: str, kind: str, taken: Parts) -> None:
        self.given[name, 0] = self.made.carries[name] = taken
        if kind == "BatchNormalization" and len(taken) == 1 and taken[0] in self.made.groups:
            self.made.groups[taken[0]].norms.append(name)

    def _attend(self, name: str, heads: int, taken: Sequence[Parts]) -> None:
        """Join what makes queries, keys and values: a head is removed from all of them."""
        if any(len(parts) != 1 or parts[0] not in self.made.groups for parts in taken[:2]):
            self._stop(name, taken[:2])
            return
        first, other = self._root(taken[0][0]), self._root(taken[1][0])
        group, joining = self.made.groups[first], self.made.groups[other]
        if first != other:
            self.joined[other] = first
            group.makers += joining.makers
        group.kind, group.units, group.width = "heads", heads, self.made.channels[first] // heads
        group.heads.append(name)
        self.given[name, 0] = taken[1] if len(taken) == 2 else taken[0]  # shares and values; queries, keys and padding

    def _root(self, name: str) -> str:
        while name in self.joined:
            name = self.joined[name]
        return name

    def _stop(self, name: str, taken: Sequence[Parts]) -> None:
        """Leave what comes in as it is, and call what comes out new."""
        for parts in taken:
            self.keep(parts)
        shapes = self.shape_of(name)
        shapes = shapes if isinstance(shapes, list) else [shapes]
        for index, shape in enumerate(shapes):
            own = f"{name}/{index}"
            self.given[name, index] = (own,)
            self.kept.add(own)
            self.made.channels[own] = (shape[-1] if len(shape) > 1 else None) or 0

    def flow(self) -> Flow:
        """Return what was found."""
        made = self.made
        made.root = {name: self._root(name) for name in made.reads}
        kept = {self._root(name) for name in self.kept}
        made.groups = {
            name: group for name, group in made.groups.items() if self._root(name) == name and name not in kept
        }
        return made
