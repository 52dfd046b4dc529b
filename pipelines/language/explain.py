"""What a validation error means, in plain words and at the field of the document it is about.

The words are for every kind of error that specs give; a kind that is not known here keeps pydantic's own words.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jobs.spec import Choice, Path, SecretName, Spec
from pipelines.language.mistakes import SHOWN, Mistake, listed, show, suggest, suggest_or_list, with_article
from pipelines.pipeline import NAME, WHOLE, Pipeline

_NOT = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping",
    "mapping": "a mapping of fields",
    "model_type": "a mapping of fields",
    "model_attributes_type": "a mapping of fields",
    "none_required": "empty",
    "less_than": "below {lt}",
    "less_than_equal": "{le} or less",
    "greater_than": "above {gt}",
    "greater_than_equal": "{ge} or more",
    "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
}
_PATTERNS = {NAME: "a name (lowercase letters, digits, - and _, a letter first, at most 64)"}
_QUOTED = re.compile(r"'([^']*)'")


@dataclass(frozen=True)
class _Found:
    """An error, the field of the document it is about, and that field's type."""

    error: ErrorDetails
    path: Path
    in_union: bool

    @property
    def context(self) -> dict[str, Any]:
        return self.error.get("ctx", {})


def explain(error: ValidationError, document: object) -> list[Mistake]:
    """Return what `error` says of `document`, one mistake a field; of very many errors, the first ones."""
    by_path: dict[Path, list[_Found]] = {}
    for details in error.errors(include_url=False)[: 2 * SHOWN]:
        found = _locate(details, document)
        by_path.setdefault(found.path, []).append(found)
    outer = {path[:length] for path in by_path for length in range(len(path))}
    return [
        Mistake(path, _combined([_words(found, document) for found in group]))
        for path, group in by_path.items()
        if not (path in outer and all(found.in_union for found in group))  # another arm of the union says more
    ]


def _locate(error: ErrorDetails, document: object) -> _Found:
    """Take out of the error's location what is not a field of the document, such as the name of a union's arm."""
    location = error["loc"]
    if error["type"] == WHOLE:
        return _Found(error, location, False)
    last = location[-1:] if error["type"] == "missing" else ()
    path: list[str | int] = []
    skipped = False
    value = document
    for part in location[: len(location) - len(last)]:
        inside = _inside(value, part)
        skipped = skipped or inside is None
        if inside is not None:
            value = inside[0]
            path.append(part)
    return _Found(error, (*path, *last), skipped)


def _inside(value: object, part: str | int) -> tuple[object] | None:
    if isinstance(value, dict) and part in value:
        return (value[part],)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return (value[part],)
    return None


def _words(found: _Found, document: object) -> str:
    error, kind = found.error, found.error["type"]
    if kind.startswith("string_") and SecretName in types_at(document, found.path):
        return "is written out, wanted ${env.NAME}, so that the secret stays out of the file"  # nor is it shown here
    if special := _SPECIAL.get(kind):
        return special(found, document)
    if wanted := _NOT.get(kind):
        value = error["input"]
        quote = "; put it in quotes" if kind == "string_type" and isinstance(value, int | float) else ""
        near = suggest(value, _QUOTED.findall(str(found.context.get("expected", ""))))
        return f"{show(value)} is not {wanted.format_map(_plain(found.context))}{quote}{near}"
    return error["msg"]  # a validator's own words, or pydantic's


def _plain(context: Mapping[str, Any]) -> dict[str, object]:
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value for key, value in context.items()
    }


def _combined(texts: Sequence[str]) -> str:
    """Join what the arms of a union say: `'x' is not a whole number or one of 'all'`."""
    unique = list(dict.fromkeys(texts))
    subject, marker, _ = unique[0].partition(" is not ")
    start = subject + marker
    if marker and all(text.startswith(start) for text in unique):
        return start + " or ".join(text.removeprefix(start) for text in unique)
    return "; ".join(unique)


def _unknown_field(found: _Found, document: object) -> str:
    name = found.error["loc"][-1]
    return f"unknown field {show(name)}{suggest_or_list(name, _fields(document, found.path[:-1]))}"


def _missing(found: _Found, document: object) -> str:
    *outer, name = found.path
    for arm in types_at(document, tuple(outer)):
        if issubclass(arm, Choice) and arm.family() is arm and arm.tag == name:
            return f"is missing ({listed(list(arm.members()))})"
    return "is missing"


def _unknown_kind(found: _Found, document: object) -> str:
    value, known = found.error["input"], found.context["known"]
    noun = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(found.context["family"])).lower()
    return f"{show(value)} is not {with_article(noun)}{suggest(value, known)} ({listed(known)})"


def _pattern(found: _Found, document: object) -> str:
    pattern = str(found.context["pattern"])
    return f"{show(found.error['input'])} is not {_PATTERNS.get(pattern, f'text that matches {pattern}')}"


def _text_length(found: _Found, document: object) -> str:
    bound, wanted = _bound(found)
    return f"{show(found.error['input'])} has {len(found.error['input'])} characters, wanted {wanted} {bound}"


def _items(found: _Found, document: object) -> str:
    bound, wanted = _bound(found)
    actual = found.context.get("actual_length")
    return f"has {actual} entries, wanted {wanted} {bound}" if actual else f"is empty, wanted {wanted} {bound}"


def _bound(found: _Found) -> tuple[object, str]:
    context = found.context
    return (context["min_length"], "at least") if "min_length" in context else (context["max_length"], "at most")


def _value(found: _Found, document: object) -> str:
    return str(found.context["error"])


_SPECIAL: dict[str, Callable[[_Found, object], str]] = {
    "extra_forbidden": _unknown_field,
    "missing": _missing,
    "unknown_kind": _unknown_kind,
    "string_pattern_mismatch": _pattern,
    "string_too_short": _text_length,
    "string_too_long": _text_length,
    "too_short": _items,
    "too_long": _items,
    "value_error": _value,
    "assertion_error": _value,
}


def types_at(document: object, path: Path) -> list[type[Any]]:
    """Return the classes that the definition language allows at `path` of `document`."""
    arms: list[Any] = [Pipeline]
    value = document
    for part in path:
        arms = [inner for arm in arms for inner in _arms(_inner(arm, value, part))]
        inside = _inside(value, part)
        value = inside[0] if inside else None
    return [arm for arm in (get_origin(arm) or arm for arm in arms) if isinstance(arm, type)]


def _fields(document: object, path: Path) -> list[str]:
    value = document
    for part in path:
        inside = _inside(value, part)
        value = inside[0] if inside else None
    specs = (_member(arm, value) for arm in types_at(document, path))
    return list(dict.fromkeys(name for spec in specs if spec for name in spec.model_fields))


def _inner(arm: Any, value: object, part: str | int) -> Any:
    if spec := _member(arm, value):
        field = spec.model_fields.get(str(part))
        return field.annotation if field else None
    arguments = get_args(arm)
    return arguments[-1] if arguments and arguments[-1] is not ... else next(iter(arguments), None)


def _member(arm: Any, value: object) -> type[Spec] | None:
    """Return the spec that describes the mapping `value`: the arm itself, or the member of the family its tag names."""
    if not (isinstance(arm, type) and issubclass(arm, Spec)):
        return None
    if issubclass(arm, Choice) and arm.family() is arm:
        tag = value.get(arm.tag) if isinstance(value, dict) else None
        return arm.member(tag) if isinstance(tag, str) else None
    return arm


def _arms(annotation: Any) -> Iterable[Any]:
    if get_origin(annotation) is Annotated:
        return _arms(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [arm for part in get_args(annotation) for arm in _arms(part)]
    return [annotation]
