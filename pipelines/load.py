"""A definition's file to a Pipeline. What is wrong with it is gathered and raised at once, with file, line and field.

`${params.x}` stands for a whole value and is replaced before anything is checked; `${env.NAME}` stays as it is, and
only where a field is marked secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path as FilePath
from typing import cast

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from cluster.errors import RequestError
from jobs.job import Job
from jobs.spec import Path, SecretName
from pipelines.language.mistakes import SHOWN, DefinitionError, Mistake, located, show, suggest_or_list
from pipelines.language.strict_yaml import parse, resolve
from pipelines.pipeline import WHOLE, Param, Pipeline, faults, mistyped, warnings

SIZE = 2**20
_PARAM = re.compile(r"\$\{params\.([^{}]*)\}")
_ENV = re.compile(r"\$\{env\.([A-Za-z_][A-Za-z0-9_]*)\}")
_REFERENCE = re.compile(r"\$\{\s*(params|env)\b|\$\{[^{}]*\}\Z")

_NOT_WHOLE = "is not a whole value, wanted ${params.NAME} and nothing around it"
_NOT_WHOLE_ENV = "a secret is named by ${env.NAME} (letters, digits and _) and nothing around it"


def load(
    path: FilePath, overrides: Mapping[str, str] = {}, warn: Callable[[str], None] = lambda line: None
) -> Pipeline:
    """Return the pipeline that the file at `path` defines, its params set to `overrides` (`{name: text}`).

    Raises DefinitionError with everything that is wrong, or RequestError when the file cannot be read at all. `warn` is
    given a line, with file, line and field, for each thing that is not wrong but odd.
    """
    document = parse(_text(path))
    declared, lines = _overridden(document.value, overrides if document.readable else {})
    found = _Mistakes(document.mistakes)
    pipeline = _checked(declared, found) if document.readable else None
    if pipeline is None or lines or found.all:
        raise DefinitionError.of([*lines, *located(str(path), found.all, document.places.line_of)])
    odd = [Mistake(field, text) for field, text in islice(warnings(pipeline.steps), SHOWN)]
    for line in located(str(path), odd, document.places.line_of):
        warn(line)
    return pipeline


def _checked(declared: object, found: _Mistakes) -> Pipeline | None:
    try:
        filler = _Filler(declared, found)
        value = filler.fill(declared, ())
        _refuse_misplaced(filler.secrets, value, found)
        return _validated(value, found)
    except _EnoughError:
        return None


class _EnoughError(Exception):
    """More mistakes were found than are ever shown."""


class _Mistakes:
    """The mistakes so far; of a field that was already told of, nothing more is said."""

    def __init__(self, first: list[Mistake]) -> None:
        self.all = list(first)
        self.told: set[Path] = {mistake.path for mistake in first if mistake.path}

    def add(self, path: Path, text: str) -> None:
        if path not in self.told:
            self.told.add(path)
            self.all.append(Mistake(path, text))
            if len(self.all) > SHOWN:
                raise _EnoughError


def _text(path: FilePath) -> str:
    subject = str(path)
    try:
        size = path.stat().st_size
        raw = b"" if size > SIZE or path.is_dir() else _head(path)
    except FileNotFoundError:
        raise RequestError(subject, "there is no such file", "a definition", "check the path") from None
    except OSError as error:
        raise RequestError(subject, f"cannot be read ({error.strerror})", "a definition") from None
    if path.is_dir():
        raise RequestError(subject, "is a folder", "a definition", "name one of the files in it")
    if size > SIZE or len(raw) > SIZE:
        remedy = "data belongs in files of its own, which the definition names"
        raise RequestError(subject, "is too large", f"a definition of at most {SIZE:,} bytes", remedy)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DefinitionError.of([f"{subject}:{line}: the byte 0x{raw[error.start]:02x} is not UTF-8"]) from None


def _head(path: FilePath) -> bytes:
    with path.open("rb") as file:  # not read_bytes: a pipe or a device tells no size
        return file.read(SIZE + 1)


def _overridden(value: object, overrides: Mapping[str, str]) -> tuple[object, list[str]]:
    """Return the document with the params' defaults replaced, and what is wrong with `overrides`."""
    params = value.get("params") if isinstance(value, dict) else None
    params = params if isinstance(params, dict) else {}
    lines = []
    changed = dict(params)
    for name, text in overrides.items():
        where = f"--set {name}={text}"
        if name not in params:
            lines.append(f"{where}: no param is called {show(name)}{suggest_or_list(name, params)}")
        elif (param := _param(params[name])) is not None:
            default, wrong = _scalar(text, param.type)
            if wrong:
                lines.append(f"{where}: {wrong}")
            else:
                changed[name] = {**params[name], "default": default}
    return ({**cast(dict[str, object], value), "params": changed} if changed else value), lines


def _param(value: object) -> Param | None:
    try:
        return Param.model_validate(value)
    except ValidationError:
        return None  # said of the definition itself, with its line


def _scalar(text: str, kind: str) -> tuple[object, str]:
    """Return the value `text` stands for in a param of type `kind`, and what is wrong with it."""
    if "${" in text:
        return text, "a param takes a plain value, not ${…}"
    if kind == "str":
        return text, ""
    try:
        value = resolve(text.strip())
    except OverflowError:
        return text, f"{show(text)} is not a whole number of at most 64 bits"
    wanted = mistyped(value, kind)
    return value, f"{show(text)} is not {wanted}" if wanted else ""


class _Filler:
    """Puts the params' values where the definition names them."""

    def __init__(self, document: object, found: _Mistakes) -> None:
        params = document.get("params") if isinstance(document, dict) else None
        self.params = {n: _param(v) for n, v in params.items()} if isinstance(params, dict) else {}
        self.found = found
        self.secrets: list[tuple[Path, str]] = []

    def fill(self, value: object, path: Path) -> object:
        """Return `value` with every `${params.x}` replaced; note where every `${env.NAME}` stands."""
        if isinstance(value, dict):
            return {key: self.fill(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.fill(inner, (*path, index)) for index, inner in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        if match := _PARAM.fullmatch(value):
            return self.value(match[1], path)
        if _ENV.fullmatch(value):
            self.secrets.append((path, value))
        elif match := _REFERENCE.search(value):
            self.found.add(path, _NOT_WHOLE_ENV if match[1] == "env" else f"{show(value)} {_NOT_WHOLE}")
        return value

    def value(self, name: str, path: Path) -> object:
        """Return the value of the param called `name`, for the field at `path`."""
        if path[:1] == ("params",):
            self.found.add(path, "a param takes a plain value, not ${…}")
        elif name not in self.params:
            self.found.add(path, f"no param is called {show(name)}{suggest_or_list(name, self.params)}")
        elif param := self.params[name]:
            return param.default
        else:
            self.found.told.add(path)  # what is wrong is said of the param itself
        return None


def _refuse_misplaced(secrets: list[tuple[Path, str]], document: object, found: _Mistakes) -> None:
    """Refuse `${env.NAME}` in fields that are not marked secret: they are hashed and written into artifacts."""
    for path, text in secrets:
        from pipelines.language.explain import types_at  # few definitions hold secrets

        types = types_at(document, path)
        if types and SecretName not in types:  # of a field that is not known at all, something else is said
            found.add(path, f"{show(text)} is only for fields marked secret, and '{path[-1]}' is not one")


def _validated(value: object, found: _Mistakes) -> Pipeline | None:
    written = value.get("steps") if isinstance(value, dict) else None
    steps = written if isinstance(written, dict) else {}
    jobs = _jobs(steps)
    try:
        return Pipeline.model_validate(_with_jobs(value, jobs))
    except ValidationError as error:
        from pipelines.language.explain import explain  # a right definition needs no words

        for mistake in explain(error, value):
            found.add(mistake.path, mistake.text)
        if not any(details["type"] == WHOLE for details in error.errors(include_url=False)):
            for path, text in islice(faults({**dict.fromkeys(steps), **jobs}), SHOWN):
                found.add(path, text)
        return None


def _jobs(steps: Mapping[str, object]) -> dict[str, Job | None]:
    """Return the job of each step that is right by itself, None for the others; of too many wrong ones, the first."""
    jobs: dict[str, Job | None] = {}
    wrong = 0
    for name, step in steps.items():
        jobs[name] = _job(step)
        wrong += jobs[name] is None
        if wrong > SHOWN:
            break
    return jobs


def _job(value: object) -> Job | None:
    try:
        return Job.choose(value)
    except (ValidationError, PydanticCustomError):
        return None


def _with_jobs(document: object, jobs: Mapping[str, Job | None]) -> object:
    """Put in the jobs already made, so that each step is validated once and a wrong one is told of."""
    if not isinstance(document, dict) or not jobs:
        return document
    return {**document, "steps": {name: job or document["steps"][name] for name, job in jobs.items()}}
