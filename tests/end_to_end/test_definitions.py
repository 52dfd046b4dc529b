"""Every shipped definition but the quickstart, which has a test of its own, runs to its end on bundled data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.load import load
from tests.end_to_end.bundled import SLOW, params_of
from tests.end_to_end.shown import SHOWN

ROOT = Path(__file__).parent.parent.parent
DEFINITIONS = sorted((ROOT / "pipelines/definitions").glob("*.yaml"))
LONG = [pytest.mark.slow, pytest.mark.timeout(1_800)]
SHORT = [pytest.mark.timeout(600)]
RUN = [
    pytest.param(definition, id=definition.stem, marks=LONG if definition.stem in SLOW else SHORT)
    for definition in DEFINITIONS
    if definition.stem != "quickstart"
]


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda path: path.stem)
def test_a_definition_is_valid(definition: Path, tmp_path: Path) -> None:
    assert load(definition, params_of(definition, tmp_path / "data")).name == definition.stem


@pytest.mark.cluster
@pytest.mark.parametrize("definition", RUN)
def test_a_definition_runs_to_its_end(definition: Path, tmp_path: Path) -> None:
    params = {"port": "0"} | params_of(definition, tmp_path / "data")
    settings = [part for name, value in params.items() for part in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "pipelines", "run", str(definition), "--store", str(tmp_path / "store"), *settings]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answered a real request" in done.stdout
    if definition.stem in SHOWN:
        SHOWN[definition.stem](tmp_path / "store")
