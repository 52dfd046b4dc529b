"""Streams Python objects through worker processes of the whole cluster with Ray Data, in order.

One task goes through the items; workers on all nodes take them as they come; what they yield comes back in order. A row
of Ray Data's is one object: whatever Ray does with blocks and nodes, the result is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import ray
from ray.data import ActorPoolStrategy, DataContext

from cluster.errors import EspalierError

Batch = dict[str, Any]
Work = Callable[[Any], Iterator[Any]]
AHEAD = 64 << 20  # bytes in flight for each worker


def stream(items: Callable[[], Iterable[Any]], made: Callable[[], Work], workers: int | None = None) -> Iterator[Any]:
    """Yield what `made()(item)` yields of each item of `items()`; both are picklable, and run in worker processes.

    With `workers`, as many processes of one CPU make their work once and keep it; without, it is made for each item, on
    any CPU that is free. An EspalierError raised there is raised here, after all that came before it.
    """

    def listed(_: Batch) -> Iterator[Batch]:
        return _held(items)

    def worked(batch: Batch) -> Iterator[Batch]:
        return _Worker(made)(batch)

    with DataContext.current(_context(workers or int(ray.cluster_resources().get("CPU", 1)))):
        # Of the two kinds of tasks the first needs no CPU of its own: one CPU is enough for all to go on.
        rows = ray.data.from_items([0], override_num_blocks=1).map_batches(listed, batch_size=1, num_cpus=0)
        if workers is None:
            done = rows.map_batches(worked, batch_size=1, num_cpus=1)
        else:
            pool = ActorPoolStrategy(size=workers)
            done = rows.map_batches(_Worker, fn_constructor_args=(made,), batch_size=1, num_cpus=1, compute=pool)
        for batch in done.iter_batches(batch_size=None, batch_format="numpy"):
            for item in batch["item"]:
                if isinstance(item, EspalierError):
                    raise item
                yield item


class _Worker:
    """Does the work in a worker process."""

    def __init__(self, made: Callable[[], Work]) -> None:
        self.work = made()

    def __call__(self, batch: Batch) -> Iterator[Batch]:
        item = batch["item"][0]
        return _held(lambda: [item]) if isinstance(item, EspalierError) else _held(lambda: self.work(item))


def _held(items: Callable[[], Iterable[Any]]) -> Iterator[Batch]:
    """Yield each item, and the EspalierError they end in if they do, as a batch of one row."""
    try:
        for item in items():
            yield _one(item)
    except EspalierError as error:
        yield _one(error)


def _one(thing: Any) -> Batch:
    item = np.empty(1, object)
    item[0] = thing
    return {"item": item}


def _context(workers: int) -> DataContext:
    context = DataContext.get_current().copy()
    context.target_max_block_size = 1  # a row is a block of its own: items go out one by one
    context.enable_progress_bars = False  # the step tells its progress
    context.print_on_execution_start = False
    options = context.execution_options
    options.preserve_order = True
    options.resource_limits = options.resource_limits.copy(object_store_memory=AHEAD * max(4, workers))
    return context
