"""How a worker's TensorFlow uses its processors: threads, and memory of GPUs it may share."""

from __future__ import annotations

from typing import Any


def set_up_devices(cpus: float, gpu_memory_mb: int | None = None) -> None:
    """Set up this process before anything else of TensorFlow runs in it."""
    import tensorflow as tf

    set_up(tf.config, cpus, gpu_memory_mb)


def set_up(config: Any, cpus: float, gpu_memory_mb: int | None) -> None:
    """Set `config`, which is `tf.config`.

    An operation has as many threads as the process has CPUs. Of each GPU the process sees it takes `gpu_memory_mb` at
    most, and at once; without a limit, as much as it comes to need: so processes can share a GPU.
    """
    config.threading.set_intra_op_parallelism_threads(max(1, int(cpus)))
    for gpu in config.list_physical_devices("GPU"):
        if gpu_memory_mb is None:
            config.experimental.set_memory_growth(gpu, True)
        else:
            limit = config.LogicalDeviceConfiguration(memory_limit=gpu_memory_mb)
            config.set_logical_device_configuration(gpu, [limit])
