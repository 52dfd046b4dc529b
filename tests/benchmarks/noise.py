"""Says whether the machine is quiet enough for its figures to mean anything."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack

HIGHEST_LOAD = 1.0
LEAST_SCALING = 1.8
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# Counts products of two matrices that fit a core's own cache, for a second after it is told to start.
PRODUCTS = """
import sys, time
import numpy as np
a = np.ones((192, 192), np.float32)
a @ a
print("ready", flush=True)
sys.stdin.readline()
count, end = 0, time.perf_counter() + 1
while time.perf_counter() < end:
    a @ a
    count += 1
print(count)
"""


def disturbances(load: float, scale: float) -> list[str]:
    """Return which of the load average and the scaling of two processes is out of bounds; nothing when it is quiet."""
    told = []
    if load > HIGHEST_LOAD:
        told.append(f"the load average is {load:.2f}, over {HIGHEST_LOAD}")
    if scale < LEAST_SCALING:
        told.append(f"two processes of matrix products do {scale:.2f} times the work of one, under {LEAST_SCALING}")
    return told


def scaling() -> float:
    """Return how many times the matrix products of one process two processes do in the same time."""
    return products(2) / products(1)


def products(processes: int) -> int:
    """Return the matrix products that so many processes of one thread do together in a second."""
    with ExitStack() as stack:
        running = [stack.enter_context(_process()) for _ in range(processes)]
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()
        return sum(int(_tell(process)) for process in [_start(process) for process in running])


def _process() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PRODUCTS]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **ONE_THREAD})


def _start(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process


def _tell(process: subprocess.Popen[str]) -> str:
    told, _ = process.communicate()
    return told
