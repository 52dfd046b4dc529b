"""What a run's driver and Ray Train's controller import, to hand work on to workers, loads no TensorFlow."""

from __future__ import annotations

import subprocess
import sys

HANDED_ON = (
    "jobs.compressing",
    "jobs.data.prepare",
    "jobs.judging.judge",
    "jobs.report.page",
    "jobs.scoring.work",
    "jobs.serving.application",
    "jobs.strategies.ray_train",
    "jobs.training",
)
CODE = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    assert "tensorflow" not in sys.modules, name
"""


def test_handing_work_on_loads_no_tensorflow() -> None:
    done = subprocess.run([sys.executable, "-c", CODE, *HANDED_ON], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
