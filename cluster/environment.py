"""The runtime environment: the variables that must be set before a library is imported, the code, the versions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cluster.errors import RequestError

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # what Ray tells a submitted job of itself
DISTRIBUTION = "espalier-ray"
CONSTRAINTS = Path(__file__).parent / "constraints.txt"  # a link to the repository's; a package holds its content

# Each is read once, at import, by the library it belongs to; a value the user has set wins.
DEFAULTS = {
    "TF_USE_LEGACY_KERAS": "1",  # Keras 3 does neither multi-worker training nor parameter servers
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # the controller takes one report a poll; 2 s would rule short epochs
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",  # of 5: some clouds take a node away 30 s after they say so
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
}

STOPPING = {"RAY_JOB_STOP_WAIT_TIME_S": "20"}  # seconds a job has to end in; of itself Ray gives it 3

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


def driver_environment() -> dict[str, Any]:
    """Return the runtime environment that this process connects with.

    Ray refuses variables that a submitted job's own environment has, were their values the same.
    """
    given = _job_variables()
    return {"env_vars": {name: value for name, value in variables().items() if name not in given}}


def in_job() -> bool:
    """Say whether this process was started by a cluster as a job of its own."""
    return JOB in os.environ


def _job_variables() -> set[str]:
    try:
        return set(json.loads(os.environ.get(JOB, "{}"))["runtime_env"]["env_vars"])
    except (ValueError, KeyError, TypeError):
        return set()


def job_environment(package: str, *, install: bool = False) -> dict[str, Any]:
    """Return the runtime environment of a submitted job: the package at this URI, and with `install` the versions.

    A run stops within these 20 s, or is killed and goes on from its checkpoints the next time.
    """
    environment: dict[str, Any] = {"working_dir": package, "env_vars": dict(STOPPING)}
    if install:
        environment["pip"] = {"packages": [f"{name}=={version}" for name, version in pins().items()]}
    return environment


def pins() -> dict[str, str]:
    """Return the exact versions of what Espalier asks for: of constraints.txt, what it leaves out as it is here.

    Raises RequestError where Espalier is not installed: its code alone does not say what it asks for.
    """
    import re
    from importlib.metadata import PackageNotFoundError, requires, version

    pinned = constraints()
    try:
        asked = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        found_none = "is not installed here, so nobody can say which packages it asks for"
        raise RequestError(DISTRIBUTION, found_none, remedy=f"install it: pip install {DISTRIBUTION}") from None
    found: dict[str, str] = {}
    for text in asked:
        name = re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0]
        if "extra ==" in text:
            continue
        try:
            found[name] = pinned.get(name.lower()) or version(name)
        except PackageNotFoundError:
            continue
    return found


def constraints() -> dict[str, str]:
    """Return the versions in constraints.txt by the packages' names, in lowercase; empty where it is missing."""
    try:
        lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name.strip().lower(): version.strip() for name, version in pairs}
