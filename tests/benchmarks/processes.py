"""Runs the processes that are measured: this interpreter, in the repository's root, its output kept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.harness import Broken

ROOT = Path(__file__).parent.parent.parent
LONGEST = 900  # seconds
SHOWN = 2_000  # characters of a failed process's output


@dataclass(frozen=True)
class Ran:
    """A process that ended well: its wall seconds and what it wrote."""

    seconds: float
    output: str
    errors: str


def python(*arguments: str) -> Ran:
    """Run this interpreter to its end; Broken when it fails or takes too long."""
    started = time.perf_counter()
    return ended(start(*arguments), started)


def start(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start this interpreter; the local packages are found as the repository's root is its folder."""
    given = {**os.environ, **(environment or {})}
    given.pop("PYTHONDONTWRITEBYTECODE", None)  # whoever installs the package has its byte code
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=given, stdout=pipe, stderr=pipe, text=True)


def ended(process: subprocess.Popen[str], started: float) -> Ran:
    """Wait for the end of a process; Broken when it fails or takes too long."""
    with process:
        try:
            output, errors = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Broken(f"took over {LONGEST} s: {_shown(process)}") from None
        seconds = time.perf_counter() - started
    if process.returncode:
        raise Broken(f"ended with {process.returncode}: {_shown(process)}\n{(output + errors)[-SHOWN:]}")
    return Ran(seconds, output, errors)


def _shown(process: subprocess.Popen[str]) -> str:
    assert isinstance(process.args, list)
    return " ".join(process.args)
