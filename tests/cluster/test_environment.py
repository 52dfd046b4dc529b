"""Which versions a job asks for: those of constraints.txt, also where Espalier was installed from a package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from cluster.doctor.check import Seen
from cluster.doctor.checks.versions import Versions
from cluster.environment import constraints, job_environment, pins
from cluster.errors import RequestError

ROOT = Path(__file__).parents[2]
BUILD = "import setuptools.build_meta as backend; print(backend.build_wheel('.'))"


def test_a_wheel_holds_the_constraints_and_reads_them(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "cluster", tmp_path / "cluster", symlinks=True)
    built = subprocess.run([sys.executable, "-c", BUILD], cwd=tmp_path, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(tmp_path / built.stdout.splitlines()[-1]) as wheel:
        assert wheel.read("cluster/constraints.txt") == (ROOT / "constraints.txt").read_bytes()
        wheel.extractall(tmp_path / "installed")
    code = "import cluster.environment as found; print(found.__file__, found.constraints()['ray'])"
    given = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "installed", env=given, capture_output=True)
    where, version = said.stdout.decode().split()
    assert where == str(tmp_path / "installed/cluster/environment.py")
    assert version == constraints()["ray"]


def test_pins_are_those_of_the_constraints() -> None:
    found = pins()
    assert found["ray"] == constraints()["ray"]
    assert f"ray=={found['ray']}" in job_environment("gcs://x.zip", install=True)["pip"]["packages"]


def test_what_is_not_installed_is_told_and_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    told = "espalier-ray: is not installed here, so nobody can say which packages it asks for; install it: pip install"
    with pytest.raises(RequestError) as refused:
        pins()
    assert str(refused.value) == f"{told} espalier-ray"
    check = Versions()
    (finding,) = check.judge(Seen("here", check.look()), Seen("here", {}))
    assert (finding.state, finding.text) == ("error", f"{told} espalier-ray")
