"""How something was made: the versions that count, and the commit of the working tree."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from typing import Any

PACKAGES = ("espalier-ray", "ray", "tensorflow", "tf-keras", "tensorflow-model-optimization", "ai-edge-litert", "numpy")


def provenance() -> dict[str, Any]:
    """Return versions by package, and the commit (with `+changes` when files differ from it), empty outside git."""
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    commit = _git("rev-parse", "HEAD")
    changed = "+changes" if commit and _git("status", "--porcelain", "--untracked-files=no") else ""
    return {"versions": versions, "commit": commit + changed}


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
