"""What a process that trains imports, for processes that start with it imported."""

from __future__ import annotations

from cluster.starting.warm_start import Imports

TRAINING = Imports(
    modules=("tensorflow", "tf_keras", "pyarrow", "pandas"),
    of_ray=(
        "ray.train.v2.api.data_parallel_trainer",
        "ray.tune",  # it is imported by Ray Train in each worker
        "jobs.strategies.ray_train",
        "jobs.strategies.replicated.engine",
        "jobs.training",
        "jobs.optimizers",
    ),
)
