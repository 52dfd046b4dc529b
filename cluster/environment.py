"""The environment every process of a run gets: the variables that must be set before a library is imported."""

from __future__ import annotations

import os

# Each is read once, at import, by the library it belongs to; a value the user has set wins.
DEFAULTS = {
    "TF_USE_LEGACY_KERAS": "1",  # Keras 3 does neither multi-worker training nor parameter servers
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # the controller takes one report a poll; 2 s would rule short epochs
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
}


def variables() -> dict[str, str]:
    """Return the environment variables of every worker process."""
    return {name: os.environ.get(name, value) for name, value in DEFAULTS.items()}
