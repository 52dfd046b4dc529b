"""The language definitions are written in: frozen specs, families of choices, typed references.

A `Spec` carries fields and their bounds. A `Choice` is a family of specs told apart by a tag: a field typed with the
family takes any member, also one that was written later. A field typed `Annotated[str, Ref(Model)]` names a step and
says what that step must make. `INCIDENTAL` fields say where or how patiently work runs, and do not count for identity.
"""

from __future__ import annotations

import os
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Annotated, Any, ClassVar, Self, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

Path = tuple[str | int, ...]
Scalar = bool | int | float | str | None
FAMILY = "x-family"  # stands in a JSON Schema for a family, whose members only the whole schema can list


class Spec(BaseModel):
    """A frozen set of fields; unknown fields, wrong types and infinities are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True, defer_build=True
    )


@dataclass(frozen=True)
class Ref:
    """Marks a field that names a step; the step must make a `to` artifact."""

    to: type[Any]


@dataclass(frozen=True)
class Incidental:
    """Marks a field that does not count for identity: it changes where work runs, not what it makes."""


INCIDENTAL = Incidental()


class Choice(Spec):
    """A family of specs told apart by the literal field named `tag`.

    A direct subclass is the family; its subclasses with a `Literal` default in the tag's field are the members. Those
    that `found_in` names are imported when a definition first names them: what it does not use costs nothing.
    """

    tag: ClassVar[str] = "kind"
    _modules: ClassVar[dict[str, str]] = {}

    @classmethod
    def family(cls) -> type[Choice]:
        """Return the family this class belongs to: the direct subclass of Choice."""
        return next(base for base in reversed(cls.__mro__) if issubclass(base, Choice) and base is not Choice)

    @classmethod
    def found_in(cls, modules: Mapping[str, str]) -> None:
        """Say which module defines the member of which tag; the module need not have been imported."""
        cls.family()._modules.update(modules)

    @classmethod
    def members(cls) -> dict[str, type[Self]]:
        """Return every member by its tag."""
        for module in cls.family()._modules.values():
            import_module(module)
        return {name: cast(type[Self], member) for name, member in _members(cls).items()}

    @classmethod
    def member(cls, tag: str) -> type[Self] | None:
        """Return the member called `tag`, None when there is none; no other member's module is imported."""
        if tag not in _members(cls) and (module := cls.family()._modules.get(tag)) is not None:
            import_module(module)
        return cast(type[Self] | None, _members(cls).get(tag))

    @classmethod
    def choose(cls, value: object) -> Self:
        """Validate `value` as the member of this family that its tag names."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise PydanticCustomError("mapping", "is not a mapping of fields")
        if cls.tag not in value:
            detail = PydanticCustomError("missing", "is missing")
            raise _nested(cls, value, detail)
        member = cls.member(str(value[cls.tag]))
        if member is None:
            context = {"known": list(cls.members()), "family": cls.__name__}
            raise _nested(cls, value, PydanticCustomError("unknown_kind", "is not a known kind", context))
        return member.model_validate(dict(value))

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if Choice in cls.__bases__:
            cls._modules = {}
        _members.cache_clear()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if Spec in cls.__bases__ or cls.family() is not cls:  # Choice itself has no family
            return handler(source)
        dump = core_schema.plain_serializer_function_ser_schema(lambda spec: spec.model_dump(mode="json"))
        return core_schema.no_info_plain_validator_function(cls.choose, serialization=dump)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        if cls.family() is not cls:
            return handler(schema)
        return {FAMILY: cls.__name__}


@cache  # a definition asks once a step; a new member clears it
def _members(cls: type[Choice]) -> dict[str, type[Choice]]:
    found: dict[str, type[Choice]] = {}
    for sub in cls.__subclasses__():
        if isinstance(name := _tag_of(sub), str):
            found[name] = sub
        found.update(_members(sub))
    return dict(sorted(found.items()))


def _tag_of(cls: type[Choice]) -> str | None:
    field = cls.model_fields.get(cls.tag)
    return field.default if field is not None and isinstance(field.default, str) else None


def _nested(cls: type[Choice], value: Mapping[str, Any], error: PydanticCustomError) -> ValidationError:
    details = InitErrorDetails(type=error, loc=(cls.tag,), input=value.get(cls.tag))
    return ValidationError.from_exception_data(cls.__name__, [details])


_SECRET = re.compile(r"\$\{env\.([A-Za-z_][A-Za-z0-9_]*)\}")


class SecretName(str):
    """A secret named by `${env.NAME}`; only the name is ever kept, hashed or written."""

    __slots__ = ()

    def value(self) -> str:
        """Read the secret from the environment of this process; KeyError when it is not set."""
        match = _SECRET.fullmatch(self)
        assert match, "validated when the spec was made"
        return os.environ[match[1]]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(pattern=f"^{_SECRET.pattern}$")
        return core_schema.no_info_after_validator_function(cls, text)


Secret = Annotated[SecretName, INCIDENTAL]


_SCALARS = (str, int, float, bool)


def walk(spec: Spec, path: Path = ()) -> Iterator[tuple[Path, object, tuple[Any, ...]]]:
    """Yield (path, value, marks) of every field below `spec`, lists and mappings opened, outermost first."""
    for name, field in type(spec).model_fields.items():
        place, value, marks = (*path, name), getattr(spec, name), tuple(field.metadata)
        if isinstance(field.annotation, type) and field.annotation in _SCALARS:  # most fields: nothing to open
            yield place, value, marks
        else:
            yield from _walk(place, value, field.annotation, marks)


def _walk(path: Path, value: object, annotation: Any, marks: tuple[Any, ...]) -> Iterator[Any]:
    while get_origin(annotation) is Annotated:
        annotation, *extra = get_args(annotation)
        marks = (*marks, *extra)
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [a for a in get_args(annotation) if a is not type(None)]
        if len(rest) == 1:
            yield from _walk(path, value, rest[0], marks)
            return
    yield path, value, marks
    arguments = get_args(annotation)
    if isinstance(value, Spec):
        yield from walk(value, path)
    elif isinstance(value, list) and arguments:
        for index, item in enumerate(value):
            yield from _walk((*path, index), item, arguments[0], ())
    elif isinstance(value, dict) and len(arguments) == 2:
        for key, item in value.items():
            yield from _walk((*path, key), item, arguments[1], ())


def references(spec: Spec) -> Iterator[tuple[Path, str, type[Any]]]:
    """Yield (path, step name, artifact type wanted) of every reference in `spec`."""
    for path, value, marks in walk(spec):
        for mark in marks:
            if isinstance(mark, Ref) and isinstance(value, str):
                yield path, value, mark.to


def counted(value: object) -> Any:
    """Return what counts for identity in a spec, as JSON values: every field but the incidental ones."""
    if isinstance(value, Spec):
        fields = type(value).model_fields.items()
        return {name: counted(getattr(value, name)) for name, field in fields if INCIDENTAL not in field.metadata}
    if isinstance(value, list | tuple):
        return [counted(item) for item in value]
    if isinstance(value, dict):
        return {str(key): counted(item) for key, item in value.items()}
    return value
