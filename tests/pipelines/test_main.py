from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.__main__ import main


def test_what_was_printed_is_whole_when_the_process_ends_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines"]
    done = subprocess.run([*command, "schema"], stdout=subprocess.PIPE, check=True)
    assert done.stdout.endswith(b"}\n")
    done = subprocess.run([*command, "validate", "none.yaml"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"error: none.yaml: there is no such file, wanted a definition; check the path\n"


def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text("name: x\nsteps:\n  data: {job: dataset, source: {kind: digits}}\n")
    (tmp_path / "runs/x").mkdir(parents=True)
    (tmp_path / "runs/x/data-0123456789ab").symlink_to("data-0123456789ab")  # a circle
    with pytest.raises(SystemExit) as ended:
        main(["plan", "x.yaml"])
    assert ended.value.code == 2
    place = tmp_path / "runs/x/data-0123456789ab"
    assert capsys.readouterr().err == f"error: {place}/record.json: Too many levels of symbolic links\n"
