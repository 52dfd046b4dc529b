"""Prepares rows on every node of the cluster, streaming, in the order of the source.

One task goes through the source and yields its parts; tasks on all nodes read and prepare them; blocks come back in
order.
"""

from __future__ import annotations

from collections.abc import Iterator

import ray

from cluster.stream import Work, stream
from jobs.data.intake.content import Block, Wanted, blocks
from jobs.data.sources import Source


def spread_blocks(source: Source, wanted: Wanted) -> Iterator[Block]:
    """Yield the rows of `source`, prepared on all nodes; an EspalierError is raised after all rows before it."""

    def preparing() -> Work:
        return lambda part: blocks(part(), wanted, ray.get_runtime_context().get_node_id())

    return stream(source.parts, preparing)
