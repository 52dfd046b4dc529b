"""The shell's completion: bash asks the program with what is on the line, and offers what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines.commands.conftest import Define


def offered(folder: Path, *words: str) -> list[str]:
    line = {"COMP_WORDS": " ".join(["espalier", *words]), "COMP_CWORD": str(len(words))}
    asked = {**os.environ, **line, "_ESPALIER_COMPLETE": "complete_bash"}
    code = "from pipelines.__main__ import entry; entry()"
    found = subprocess.run([sys.executable, "-c", code], env=asked, cwd=folder, capture_output=True, text=True)
    assert "Traceback" not in found.stderr
    return found.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sta"], ["status"]),
        (["run", "toys.yaml", "--ten"], ["--tensorboard"]),
        (["jobs", "can"], ["cancel"]),
        (["logs", "toys.yaml", "be"], ["bend", "best"]),
        (["fresh", "toys.yaml", "bend", "co"], ["cost"]),
        (["bench-strategy", "toys.yaml", "c"], ["cost"]),
        (["logs", "missing.yaml", "b"], []),
    ],
)
def test_tab_offers(tmp_path: Path, define: Define, words: list[str], expected: list[str]) -> None:
    define(bend={}, best={}, cost={})
    assert offered(tmp_path, *words) == expected


def test_the_shell_is_told_how_to_ask(tmp_path: Path) -> None:
    code = "from pipelines.__main__ import main; main(['--show-completion', 'bash'])"
    named = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # whatever the tests were started from
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=named)
    assert "complete -o default -F _espalier_completion espalier" in found.stdout
