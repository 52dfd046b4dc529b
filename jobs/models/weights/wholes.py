"""Variables as wholes: parameter servers hold a large one in parts, each a variable of its own to Keras.

Weights are named, kept and judged whole, so that nobody but the strategy knows of parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

KERNELS = r"kernel|embeddings"  # how the names of weights end that are neither biases nor normalisation
PART = r"/part_\d+"  # how TensorFlow ends the name of a part

_UNCUT: ContextVar[bool] = ContextVar("uncut", default=False)


@contextmanager
def uncut(wanted: bool = True) -> Iterator[None]:
    """Let no variable be made in parts inside the block: TFMOT's wrappers update none that is."""
    token = _UNCUT.set(wanted)
    try:
        yield
    finally:
        _UNCUT.reset(token)


def may_be_cut() -> bool:
    """Say whether a variable that is made now may be made in parts."""
    return not _UNCUT.get()


def wholes(variables: Iterable[Any]) -> list[Any]:
    """Return each variable once and in order, those in parts whole: all have `numpy()`, `assign(value)` and `shape`."""
    found = {id(whole): whole for whole in map(_whole, variables)}
    return list(found.values())


def name_of(variable: Any) -> str:
    """Return the name of a variable (`stem/kernel`), whole or in parts, or of the variable a part belongs to."""
    whole = _whole(variable)
    if whole is variable and not _is_cut(whole):
        return str(variable.name.split(":")[0])
    return re.sub(f"{PART}$", "", whole.variables[0].name.split(":")[0])


def _whole(variable: Any) -> Any:
    """Return the variable that `variable` is a part of, else itself. TensorFlow marks parts so, for Keras as for us.

    A variable of several replicas is no part, and is not asked: for an attribute it lacks it reads itself, and one that
    each replica has a value of its own of does that over the network.
    """
    import tensorflow as tf

    if isinstance(variable, tf.distribute.DistributedValues):
        return variable
    container = getattr(variable, "_sharded_container", None)
    return variable if container is None else container()


def _is_cut(variable: Any) -> bool:
    import tensorflow as tf

    return isinstance(variable, tf.__internal__.distribute.ShardedVariable)
