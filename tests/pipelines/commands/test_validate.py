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


LARGER = """\
name: larger
steps:
  data: {job: dataset, source: {kind: digits}}
  teacher: {job: train, data: data, model: {backbone: {kind: resnet, depth: 8, width: 8}}}
  small:
    job: compress
    model: teacher
    data: data
    techniques:
      - kind: distill
        student: {backbone: {kind: resnet, depth: 8, width: 16}}
"""


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_a_student_larger_than_its_teacher_is_warned_of_with_its_line(
    espalier: Espalier, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "larger.yaml"
    file.write_text(LARGER)
    said = espalier(command, "larger.yaml")
    assert said.code == 0
    assert said.err == (
        "warning: larger.yaml:11: steps.small.techniques[0].student: the student has 78,064 weights before its head, "
        "its teacher 19,960: nothing becomes smaller by it\n"
    )
    file.write_text(LARGER.replace("width: 16", "width: 4"))
    assert espalier(command, "larger.yaml").err == ""


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
