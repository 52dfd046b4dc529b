"""AllReduce data parallelism: each worker holds the model, gradients are summed after every train step."""

from __future__ import annotations

import json
import os
from typing import ClassVar, Literal

from jobs.strategies.strategy import Engine, Strategy


class DataParallel(Strategy):
    """MultiWorkerMirroredStrategy: synchronous replicas, one a GPU or one a worker process without GPUs."""

    kind: Literal["data_parallel"] = "data_parallel"
    needs_cluster_config: ClassVar[bool] = True

    def engine(self) -> Engine:
        """Join the other workers named in TF_CONFIG."""
        import tensorflow as tf

        from jobs.strategies.replicated import Replicated

        rank = int(json.loads(os.environ["TF_CONFIG"])["task"]["index"])
        return Replicated(tf.distribute.MultiWorkerMirroredStrategy(), workers=self.workers, rank=rank)
