"""Every shipped definition but the quickstart, which has a test of its own, runs to its end on bundled data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.load import load

ROOT = Path(__file__).parent.parent.parent
DEFINITIONS = sorted((ROOT / "pipelines/definitions").glob("*.yaml"))


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda path: path.stem)
def test_a_definition_is_valid(definition: Path) -> None:
    assert load(definition).name == definition.stem


@pytest.mark.cluster
@pytest.mark.timeout(600)
@pytest.mark.parametrize("definition", [d for d in DEFINITIONS if d.stem != "quickstart"], ids=lambda path: path.stem)
def test_a_definition_runs_to_its_end(definition: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines", "run", str(definition), "--store", str(tmp_path), "--set", "port=0"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answered a real request" in done.stdout
