"""Prepares rows on every node of the cluster with Ray Data, streaming, in the order of the source.

One task goes through the source and yields its parts; tasks on all nodes read and prepare them; blocks come back in
order. A row of Ray Data's is one part, or one block: whatever Ray does with blocks and nodes, the result is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import ray
from ray.data import DataContext

from cluster.errors import EspalierError
from jobs.data.intake.content import Block, Wanted, blocks
from jobs.data.sources import Source

Batch = dict[str, Any]
AHEAD = 64 << 20  # bytes in flight for each CPU of the cluster


def spread_blocks(source: Source, wanted: Wanted) -> Iterator[Block]:
    """Yield the rows of `source`, prepared on all nodes; an EspalierError is raised after all rows before it."""

    def parts(batch: Batch) -> Iterator[Batch]:
        try:
            for part in source.parts():
                yield _one(part)
        except EspalierError as error:
            yield _one(error)

    def prepared(batch: Batch) -> Iterator[Batch]:
        part = batch["item"][0]
        if isinstance(part, EspalierError):
            yield _one(part)
            return
        try:
            for block in blocks(part(), wanted, ray.get_runtime_context().get_node_id()):
                yield _one(block)
        except EspalierError as error:
            yield _one(error)

    with DataContext.current(_context()):
        # Of the two kinds of tasks the first needs no CPU of its own: one CPU is enough for all to go on.
        listed = ray.data.from_items([0], override_num_blocks=1).map_batches(parts, batch_size=1, num_cpus=0)
        done = listed.map_batches(prepared, batch_size=1, num_cpus=1)
        for batch in done.iter_batches(batch_size=None, batch_format="numpy"):
            for item in batch["item"]:
                if isinstance(item, EspalierError):
                    raise item
                yield item


def _one(thing: Any) -> Batch:
    """Return a batch of one row that holds any Python object."""
    item = np.empty(1, object)
    item[0] = thing
    return {"item": item}


def _context() -> DataContext:
    context = DataContext.get_current().copy()
    context.target_max_block_size = 1  # a row is a block of its own: parts go out one by one
    context.enable_progress_bars = False  # the step tells its progress
    context.print_on_execution_start = False
    options = context.execution_options
    options.preserve_order = True
    cpus = int(ray.cluster_resources().get("CPU", 1))
    options.resource_limits = options.resource_limits.copy(object_store_memory=AHEAD * max(4, cpus))
    return context
