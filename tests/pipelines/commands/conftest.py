"""The command line in this process, on toy jobs and a folder of its own; connecting to a cluster does nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray

from pipelines.__main__ import main
from pipelines.commands.ends import stopping
from tests.pipelines import offline
from tests.pipelines.toy_jobs import write


@dataclass(frozen=True)
class Said:
    """What a command ended with."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Espalier = Callable[..., Said]
Define = Callable[..., Path]


@pytest.fixture
def espalier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> Espalier:
    """Return the command line, as a function of its arguments."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("ESPALIER_STORE", raising=False)
    monkeypatch.setattr(stopping, "connect", offline.connect)
    monkeypatch.setattr(stopping, "disconnect", lambda: None)  # other tests' cluster stays
    if "ray_cluster" not in request.fixturenames:  # nor is it seen by those that are not about it
        monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def call(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Said(code, said.out, said.err)

    return call


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    """Return where toy jobs note what they do."""
    return tmp_path / "diary"


@pytest.fixture
def define(tmp_path: Path, diary: Path) -> Define:
    """Return a function that writes a definition of toy steps and returns its path, relative to the working folder."""

    def written(**steps: dict[str, Any]) -> Path:
        return write(tmp_path / "toys.yaml", diary, **steps).relative_to(tmp_path)

    return written
