from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipelines.commands.conftest import Define, Espalier


def test_a_right_definition(espalier: Espalier, define: Define) -> None:
    said = espalier("validate", define(a={}, b={"of": ["a"]}))
    assert (said.code, said.out, said.err) == (0, "toys.yaml: toys is valid, 2 steps\n", "")


def test_every_mistake_is_told_with_its_line(espalier: Espalier, define: Define, tmp_path: Path) -> None:
    said = espalier("validate", define(a={"cpu": 2}, b={"of": ["d"]}, c={"retries": -1}))
    assert said.code == 2
    assert said.out == ""
    assert said.err == (
        "error: toys.yaml:6: steps.a.cpu: unknown field 'cpu', did you mean 'cpus'?\n"
        "toys.yaml:11: steps.b.of[0]: step 'b' needs an Artifact from 'd', "
        "but no step is called that (known: a, b, c)\n"
        "toys.yaml:15: steps.c.retries: -1 is not 0 or more or one of 'unlimited'\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toys.yaml"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none.yaml", "none.yaml: there is no such file, wanted a definition; check the path"),
        (".", ".: is a folder, wanted a definition; name one of the files in it"),
    ],
)
def test_what_is_no_file(espalier: Espalier, name: str, told: str) -> None:
    said = espalier("validate", name)
    assert (said.code, said.err) == (2, f"error: {told}\n")


@pytest.mark.parametrize("text", ["sparsity", "=3", ""])
def test_a_set_without_a_name_and_a_value(espalier: Espalier, define: Define, text: str) -> None:
    said = espalier("validate", define(a={}), "--set", text)
    assert (said.code, said.err) == (2, f"error: --set {text}: is no parameter, wanted NAME=VALUE\n")
