"""Variables over a mesh of workers: each worker holds its part, and whole arrays go in and out.

TensorFlow is imported here: only for workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.experimental import dtensor

from cluster.errors import FinalError

BATCH, MODEL = "batch", "model"


@dataclass(frozen=True)
class Grid:
    """The mesh `batch × model`, one device a worker, and this worker's place in it."""

    mesh: Any
    row: int
    column: int

    @property
    def columns(self) -> int:
        """Over how many workers a variable divides."""
        return int(self.mesh.dim_size(MODEL))

    def layout(self, rank: int, axis: int | None = None, over: str = MODEL) -> Any:
        """Return the layout of a tensor of `rank` axes divided along `axis`, or whole everywhere."""
        return dtensor.Layout([over if at == axis else dtensor.UNSHARDED for at in range(rank)], self.mesh)

    def part(self, name: str, value: NDArray[Any], axis: int | None) -> NDArray[Any]:
        """Return this worker's part of a whole array; FinalError when it does not divide evenly."""
        if axis is None:
            return value
        if value.shape[axis] % self.columns:
            found = f"has {value.shape[axis]} {('rows', 'columns')[axis]}" if value.ndim > 1 else f"has {len(value)}"
            raise FinalError(name, f"{found}, which do not divide by model {self.columns}")
        return np.split(value, self.columns, axis)[self.column]

    def pack(self, part: Any, layout: Any) -> Any:
        """Make a tensor over the mesh of every worker's part."""
        with tf.device(self.mesh.local_devices()[0]):
            part = tf.constant(part)
        return dtensor.pack([part], layout)

    def whole(self, tensor: Any) -> Any:
        """Return a tensor over the mesh as the whole array, in every worker: a copy, so that no tensor stays."""
        if not dtensor.fetch_layout(tensor).is_fully_replicated():
            tensor = dtensor.relayout(tensor, self.layout(len(tensor.shape)))
        return np.array(dtensor.unpack(tensor)[0].numpy())

    @contextmanager
    def variables(self, axis_of: Callable[[str], int | None]) -> Iterator[None]:
        """Make every variable inside the block over the mesh, divided along `axis_of(name)`.

        It starts from what it would start from in one worker.
        """

        def make(_: Any, **options: Any) -> Any:
            own = options["name"] or "variable"
            scope = tf.get_current_name_scope()
            name = f"{scope}/{own}" if scope else own
            axis = axis_of(name)
            with tf.init_scope():
                value = _value(options["initial_value"])
                if not tf.is_tensor(value) or not dtensor.is_dtensor(value):
                    value = np.asarray(value)
                    value = self.pack(self.part(name, value, axis), self.layout(value.ndim, axis))
                elif dtensor.fetch_layout(value) != (wanted := self.layout(len(value.shape), axis)):
                    value = dtensor.relayout(value, wanted)  # zeros like a part are whole everywhere
                return Sharded(value, grid=self, axis=axis, name=own, trainable=options.get("trainable"))

        with tf.variable_creator_scope(make):
            yield


def _value(initial: Any) -> Any:
    if not callable(initial):
        return initial
    with tf.device("CPU:0"):
        return initial()


class Sharded(dtensor.DVariable):  # type: ignore[misc]
    """A variable of which each worker holds a part; `numpy` and `assign` speak of the whole array.

    Both are called by all workers, in the same order. In a traced function, what is read after a write is the tensor
    that was written: DTensor does not keep a read behind the write before it, and gives what was there at the start.
    """

    def __init__(self, initial_value: Any, *, grid: Grid, axis: int | None, **options: Any) -> None:
        self.grid, self.axis = grid, axis
        self._now: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # the value at this point, by graph
        super().__init__(initial_value, **options)

    def numpy(self) -> Any:
        """Gather the whole array."""
        return self.grid.whole(self.read_value())

    def _read_variable_op(self, no_copy: bool = False) -> Any:
        if tf.executing_eagerly():
            return super()._read_variable_op(no_copy)
        graph = tf.compat.v1.get_default_graph()
        if graph not in self._now:
            self._now[graph] = super()._read_variable_op(no_copy)
        return self._now[graph]

    def assign(self, value: Any, *args: Any, **options: Any) -> Any:
        """Take a whole array, or a tensor over the mesh."""
        if isinstance(value, np.ndarray | np.generic):
            value = np.asarray(value, self.dtype.as_numpy_dtype)
            value = self.grid.pack(self.grid.part(self.name, value, self.axis), self.layout)
        if tf.executing_eagerly():
            return super().assign(value, *args, **options)
        value = tf.convert_to_tensor(value, self.dtype)
        assigned = super().assign(value, *args, **options)
        self._now[tf.compat.v1.get_default_graph()] = value
        return assigned

    def assign_add(self, delta: Any, *args: Any, **options: Any) -> Any:
        """Add to the whole."""
        return self.assign(self.value() + delta, *args, **options)

    def assign_sub(self, delta: Any, *args: Any, **options: Any) -> Any:
        """Take from the whole."""
        return self.assign(self.value() - delta, *args, **options)

    def sparse_read(self, indices: Any, name: str | None = None) -> Any:
        """Look rows up; the gradient is dense, for DTensor sums no other."""
        rows, width = self.shape

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def look_up(table: Any) -> Any:
            def gradient(above: Any) -> Any:
                return tf.math.unsorted_segment_sum(tf.reshape(above, [-1, width]), tf.reshape(indices, [-1]), rows)

            return tf.gather(table, indices), gradient

        return look_up(self.read_value())
