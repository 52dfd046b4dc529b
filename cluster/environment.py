"""The environment every process of a run gets: the variables that must be set before a library is imported."""

from __future__ import annotations

import os

# Each is read once, at import, by the library it belongs to; a value the user has set wins.
DEFAULTS = {
    "TF_USE_LEGACY_KERAS": "1",  # Keras 3 does neither multi-worker training nor parameter servers
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # the controller takes one report a poll; 2 s would rule short epochs
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",  # of 5: some clouds take a node away 30 s after they say so
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
}

# A train step asks for the same large blocks as the one before. The C library gives each back to the kernel and has it
# faulted in again: two workers on two cores trained ResNet-20 at 115 rows/s so, and at 215 with one arena that keeps
# what it has. It costs memory only as long as the process lives. Read by glibc when a process starts.
ALLOCATION = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),  # the most that every version of glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(4 * 2**30),
    "MALLOC_TOP_PAD_": str(256 * 2**20),
}


def variables() -> dict[str, str]:
    """Return the environment variables of every worker process."""
    return {name: os.environ.get(name, value) for name, value in DEFAULTS.items()}


def training_variables() -> dict[str, str]:
    """Return the environment variables of a process that trains."""
    return variables() | {name: os.environ.get(name, value) for name, value in ALLOCATION.items()}
