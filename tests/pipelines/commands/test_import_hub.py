"""`espalier import-hub`: what it refuses before anything is written."""

from __future__ import annotations

from pathlib import Path

from tests.pipelines.commands.conftest import Espalier


def test_a_folder_that_is_used_is_refused(espalier: Espalier, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    said = espalier("import-hub", "checkpoint", tmp_path / "out")
    assert (said.code, said.err) == (2, f"error: {tmp_path}/out: is not empty, wanted a new folder\n")


def test_a_checkpoint_that_is_not_there_is_said_from_the_other_process(espalier: Espalier, tmp_path: Path) -> None:
    said = espalier("import-hub", "checkpoint", tmp_path / "out")
    assert said.code == 2
    assert said.err == f"error: {tmp_path}/checkpoint: has no config.json, wanted a Hugging Face folder\n"
    assert not (tmp_path / "out").exists()
