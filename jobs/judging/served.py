"""What runs a model's served file where TensorFlow may be: in training and in judgement, never in a replica."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.runtime.runner import Runner


def runner_of(runtime: str, file: Path) -> Any:
    """Return what runs the served `file`; TensorFlow is loaded only for a model nothing else runs."""
    if runtime == "litert":
        return Runner(file)
    from jobs.models.saved_model.serving import SavedModelRunner

    return SavedModelRunner(file)
