"""What the doctor looks at for training: TensorFlow, its Keras and its GPUs."""

from __future__ import annotations

from cluster.doctor.check import Check
from jobs.doctor.tensorflow import TensorFlow


def checks() -> list[Check]:
    """Return the checks of what trains."""
    return [TensorFlow()]
