"""The null strategy: one worker process, its own devices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from jobs.spec import INCIDENTAL
from jobs.strategies.strategy import Engine, Gpus, Limited


class Single(Limited):
    """One worker process."""

    kind: Literal["single"] = "single"
    workers: Annotated[int, Field(ge=1, le=1)] = 1
    gpus_per_worker: Annotated[Gpus, INCIDENTAL, Field(le=1)] = 0.0

    def engine(self) -> Engine:
        """Drive training on this process's own device."""
        import tensorflow as tf

        from jobs.strategies.replicated.engine import Replicated

        return Replicated(tf.distribute.get_strategy(), workers=1, rank=0)
