"""The JSON Schema of definitions, for editors: one entry in `$defs` a family, one a member, one a spec used in them.

It says what fields and bounds there are. What only the whole definition can tell (references, cycles) it does not say.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from jobs.spec import FAMILY, Choice
from pipelines.pipeline import Pipeline

_Schema = dict[str, Any]
_REF = "#/$defs/"
_PARAM = "ParamReference"
_SCALARS = {"integer", "number", "string", "boolean"}
_MAPS = ("properties", "patternProperties")  # values are schemas, under names of any kind
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_INNER = ("items", "additionalProperties")


def json_schema() -> _Schema:
    """Return the JSON Schema (draft 2020-12) of a definition, with every kind that is known by now."""
    families = _families()
    members = [member for family in families.values() for member in family.members().values()]
    models: list[Any] = [(model, "validation") for model in (Pipeline, *members)]
    references, shared = models_json_schema(models, schema_generator=_Generator)
    defs: dict[str, _Schema] = shared.get("$defs", {})
    root = defs[_name(references[Pipeline, "validation"])]
    for family in families.values():
        chosen = {kind: _name(references[member, "validation"]) for kind, member in family.members().items()}
        assert family.__name__ not in defs, f"a spec has the name of the family {family.__name__}"
        arms = [{"$ref": _REF + name, "required": [family.tag]} for name in chosen.values()]
        defs[family.__name__] = {"anyOf": arms}
        for kind, name in chosen.items():
            defs[name]["properties"][family.tag] = {"const": kind}  # what tells this member from the others
    reached = _reached(root, defs)
    defs = {name: schema if name == "Param" else _open(schema) for name, schema in defs.items() if name in reached}
    defs[_PARAM] = {"type": "string", "pattern": r"^\$\{params\.[a-z][a-z0-9_-]*\}$"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_open(root), "$defs": defs}


def _families() -> dict[str, type[Choice]]:
    """Return every family by its name; importing one's members may make another known."""
    found: list[type[Choice]] = []
    while len(found) < len(Choice.__subclasses__()):
        found = Choice.__subclasses__()
        for family in found:
            family.members()
    families = {family.__name__: family for family in found}
    assert len(families) == len(found), "two families have the same name"
    return families


def schema_text() -> str:
    """Return the schema as the text of a file: the same for the same kinds, whatever order they became known in."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


class _Generator(GenerateJsonSchema):
    """Leaves out the titles that repeat a field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _name(reference: _Schema) -> str:
    return str(reference["$ref"]).removeprefix(_REF)


def _reached(root: _Schema, defs: dict[str, _Schema]) -> set[str]:
    waiting, found = _named(root), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting |= _named(defs[name])
    return found


def _named(schema: object) -> set[str]:
    """Return the names in `$defs` that `schema` mentions anywhere, families among them."""
    if isinstance(schema, dict):
        here = {_name(schema)} if isinstance(schema.get("$ref"), str) else set()
        here |= {schema[FAMILY]} if isinstance(schema.get(FAMILY), str) else set()
        return here.union(*map(_named, schema.values()))
    return set[str]().union(*map(_named, schema)) if isinstance(schema, list) else set()


def _open(schema: Any) -> Any:
    """Point families at their entry and let `${params.x}` stand wherever a single value may."""
    if not isinstance(schema, dict):
        return schema
    opened = {key: value for key, value in schema.items() if key != FAMILY}
    if FAMILY in schema:
        opened["$ref"] = _REF + schema[FAMILY]
    for key in _MAPS:
        if key in opened:
            opened[key] = {name: _open_field(inner) for name, inner in opened[key].items()}
    for key in _LISTS:
        if key in opened:
            opened[key] = [_open(inner) for inner in opened[key]]
    for key in _INNER:
        if key in opened:
            opened[key] = _open(opened[key])
    if opened.get("type") in _SCALARS or "enum" in opened:
        about = {key: opened.pop(key) for key in ("default", "description") if key in opened}
        return {"anyOf": [opened, {"$ref": _REF + _PARAM}], **about}
    return opened


def _open_field(schema: _Schema) -> _Schema:
    tag = set(schema) == {"const"}  # a member is told by its tag, so that stays written out
    opened: _Schema = schema if tag else _open(schema)
    return opened
