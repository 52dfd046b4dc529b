from __future__ import annotations

import pytest

from pipelines.commands import NAMES
from tests.pipelines.commands.conftest import Espalier


@pytest.mark.parametrize("name", NAMES)
def test_every_command_shows_an_example(espalier: Espalier, name: str) -> None:
    said = espalier(name, "--help")
    assert said.code == 0
    assert said.lines[0].startswith(f"Usage: espalier {name} ")
    assert said.lines[-1].startswith(f"  Example: espalier {name}")


def test_the_help_lists_every_command(espalier: Espalier) -> None:
    said = espalier("--help")
    assert said.code == 0
    at = said.lines.index("Commands:")
    assert {line.split()[0] for line in said.lines[at + 1 : at + 1 + len(NAMES)]} == set(NAMES)
    assert said.lines[-1] == "  Example: espalier run pipelines/definitions/quickstart.yaml"


def test_an_unknown_command_is_a_wrong_request(espalier: Espalier) -> None:
    said = espalier("rnu", "x.yaml")
    assert said.code == 2
    assert "No such command 'rnu'." in said.err


def test_a_missing_argument_is_a_wrong_request(espalier: Espalier) -> None:
    said = espalier("plan")
    assert said.code == 2
    assert "Missing argument 'DEFINITION'" in said.err
