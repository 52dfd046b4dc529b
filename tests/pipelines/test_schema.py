import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import Field

from pipelines.language.strict_yaml import parse
from pipelines.schema import json_schema, schema_text
from tests.pipelines.toys import GOOD, ToyTrick

DEFINITIONS = Path(__file__).parents[2] / "pipelines" / "definitions"


def mistakes(definition: object) -> list[str]:
    validator = Draft202012Validator(dict(json_schema()))
    return [error.json_path for error in validator.iter_errors(definition)]


def good() -> dict[str, Any]:
    definition = parse(GOOD).value
    assert isinstance(definition, dict)
    return definition


def changed(step: str, fields: Mapping[str, object]) -> dict[str, Any]:
    definition = good()
    definition["steps"][step] |= fields
    return definition


def test_the_schema_is_one_and_a_good_definition_obeys_it() -> None:
    Draft202012Validator.check_schema(json_schema())
    assert mistakes(good()) == []


def test_a_param_may_stand_for_any_single_value() -> None:
    assert mistakes(changed("teacher", {"epochs": "${params.epochs}", "data": "${params.d}"})) == []
    assert mistakes(changed("teacher", {"optimizer": {"rate": "${params.rate}", "decay": "${params.decay}"}})) == []
    assert mistakes(changed("small", {"tricks": [{"kind": "toy_shrink", "sparsity": "${params.s}"}]})) == []


@pytest.mark.parametrize(
    ("step", "fields"),
    [
        ("teacher", {"epochs": 0}),
        ("teacher", {"epochs": "three"}),
        ("teacher", {"epocs": 3}),
        ("teacher", {"job": "no_such_job"}),
        ("teacher", {"optimizer": {"rate": 2}}),
        ("teacher", {"optimizer": {"rte": 0.1}}),
        ("small", {"tricks": []}),
        ("small", {"tricks": [{"kind": "toy_shrink", "sparsity": 1.5}]}),
        ("small", {"tricks": [{"sparsity": 0.5}]}),
        ("small", {"tricks": [{"kind": "toy_wrap", "inner": {"kind": "toy_wrap"}}]}),
    ],
)
def test_a_bad_field_is_refused_in_its_step(step: str, fields: dict[str, object]) -> None:
    assert mistakes(changed(step, fields)) == [f"$.steps.{step}"]


def test_an_unknown_field_a_missing_one_and_a_bad_name_are_refused() -> None:
    definition = good()
    assert mistakes({**definition, "stps": {}}) == ["$"]
    assert mistakes({"name": "x"}) == ["$"]
    assert mistakes({**definition, "name": "../x"}) == ["$.name"]


def test_a_member_written_later_appears() -> None:
    class ToyLate(ToyTrick):
        """Defined after everything was imported."""

        kind: Literal["toy_late"] = "toy_late"
        depth: Annotated[int, Field(ge=1)]

    assert mistakes(changed("small", {"tricks": [{"kind": ToyLate(depth=1).kind, "depth": 2}]})) == []
    assert mistakes(changed("small", {"tricks": [{"kind": "toy_late", "depth": 0}]})) == ["$.steps.small"]


def test_the_text_is_sorted_and_the_same_each_time() -> None:
    text = schema_text()
    assert text == schema_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert '"x-family"' not in text


def test_the_committed_schema_is_the_one_of_these_sources() -> None:
    printing = "import sys; from pipelines.schema import schema_text; sys.stdout.buffer.write(schema_text().encode())"
    command = [sys.executable, "-c", printing]  # a process of its own: the kinds that tests define are not in it
    made = subprocess.run(command, cwd=DEFINITIONS.parents[1], capture_output=True, check=True).stdout.decode()
    committed = (DEFINITIONS / "pipeline.schema.json").read_text(encoding="utf-8")
    assert committed == made, "run: espalier schema > pipelines/definitions/pipeline.schema.json"


@pytest.mark.parametrize("definition", sorted(DEFINITIONS.glob("*.yaml")), ids=lambda path: str(path.name))
def test_every_definition_here_obeys_the_committed_schema_and_names_it(definition: Path) -> None:
    schema = json.loads((DEFINITIONS / "pipeline.schema.json").read_text(encoding="utf-8"))
    text = definition.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=pipeline.schema.json\n")
    assert [error.json_path for error in Draft202012Validator(schema).iter_errors(parse(text).value)] == []
