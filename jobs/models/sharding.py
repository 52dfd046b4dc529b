"""Which variables of a model divide over workers, and along which axis: rules by the names of layers. Pure.

A column-divided dense layer makes a part of the outputs in each worker; a row-divided one reads such parts and sums its
products over the workers (Shoeybi et al., 2019): the two in turn need one sum a pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Sharding:
    """How layers divide, by the endings of their names; what no ending names is whole in every worker."""

    columns: tuple[str, ...] = ()  # dense layers: the kernel's columns and the bias
    rows: tuple[str, ...] = ()  # dense layers: the kernel's rows; the bias is whole
    widths: tuple[str, ...] = ()  # embeddings: the table's columns

    def __add__(self, other: Sharding) -> Sharding:
        return Sharding(self.columns + other.columns, self.rows + other.rows, self.widths + other.widths)

    @property
    def divides(self) -> bool:
        """Whether there is any rule."""
        return bool(self.columns or self.rows or self.widths)

    def axis(self, variable: str) -> int | None:
        """Return the axis along which the variable called `…/layer/part` divides; None when it is whole."""
        layer, _, part = variable.rpartition("/")
        if layer.endswith(self.columns):
            return {"kernel": 1, "bias": 0}.get(part)
        if part == "kernel" and layer.endswith(self.rows):
            return 0
        return 1 if part == "embeddings" and layer.endswith(self.widths) else None

    def share(self, shapes: Mapping[str, Sequence[int]]) -> float:
        """Return the share of parameters that divide in variables of these names and shapes."""
        total = sum(prod(shape) for shape in shapes.values())
        divided = sum(prod(shape) for name, shape in shapes.items() if self.axis(name) is not None)
        return divided / total if total else 0.0


NOTHING = Sharding()
_CURRENT: ContextVar[Sharding] = ContextVar("sharding", default=NOTHING)


@contextmanager
def dividing(rule: Sharding) -> Iterator[None]:
    """Let what makes variables inside the block know how they divide."""
    token = _CURRENT.set(rule)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current() -> Sharding:
    """Return the rule of the model that is being built; one that divides nothing when none is."""
    return _CURRENT.get()
