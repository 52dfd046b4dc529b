"""Kills the driver of trials among them, and lets another one end them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ENOUGH = 3  # trials that have ended when the driver is killed
LONGEST = 90.0


def killed_and_ended(script: str, root: Path, *arguments: str) -> int:
    """Run `script` with the folder `root`, kill it, and run it to its end; return how many trials it had made by then.

    Asserts that the journal keeps these as they were.
    """
    command, journal = [sys.executable, "-c", script, str(root), *arguments], root / "kept/trials"
    slow = {**os.environ, "ESPALIER_SYNTHETIC": "slow"}
    driver = subprocess.Popen(command, env=slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + LONGEST
        while len(list(journal.glob("0*.json"))) < ENOUGH:
            assert time.monotonic() < end, "the trials did not get on"
            time.sleep(0.1)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    kept = {file.name: file.read_text() for file in journal.glob("0*.json")}
    subprocess.run(command, env=os.environ, check=True, timeout=120, stdout=subprocess.DEVNULL)
    assert all((journal / name).read_text() == text for name, text in kept.items())
    return len(kept)
