"""The memory that tensors may take in a process that trains."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.errors import FinalError


@contextmanager
def held_to(limit: int | None, subject: str) -> Iterator[None]:
    """Hold the tensors of this process's CPU to `limit` bytes, in whole MiB, and tell of a full device; or neither.

    It begins before TensorFlow has made a tensor. What would pass the limit is not made: FinalError names `subject`.
    TensorFlow's allocator keeps the limit; RLIMIT_DATA would end the process by a signal.
    """
    if limit is None:
        yield
        return
    mebibytes = limit >> 20
    os.environ["TF_CPU_ALLOCATOR_USE_BFC"] = "1"
    os.environ["TF_CPU_BFC_MEM_LIMIT_IN_MB"] = str(mebibytes)
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError:
        found = f"needs more memory for tensors than its memory_per_worker, {limit:,} bytes"
        raise FinalError(subject, found, remedy="raise it, or divide the model over more workers") from None
