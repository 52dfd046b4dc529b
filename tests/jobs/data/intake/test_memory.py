from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.benchmarks.prepare_memory import write_images


def peak(folder: Path, count: int) -> float:
    """Return the peak of memory in MB when a data set of `count` images is made."""
    write_images(folder / str(count), count)
    command = [sys.executable, "-m", "tests.jobs.data.intake.peak", str(folder / str(count)), "here"]
    rows, most = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(rows) == count
    return float(most)


def test_ten_times_the_images_take_no_more_memory(tmp_path: Path) -> None:
    few, many = peak(tmp_path, 1_000), peak(tmp_path, 10_000)
    assert many <= 1.2 * few
