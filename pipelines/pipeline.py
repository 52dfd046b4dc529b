"""A pipeline: named steps, checked whole: every reference resolves to a step that makes the right type of artifact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

import jobs.kinds  # noqa: F401  (makes every kind of job known)
from jobs.job import Job
from jobs.spec import Path, Spec, references
from pipelines import graph
from pipelines.language.mistakes import SHOWN, show, suggest_or_list, with_article

NAME = r"^[a-z][a-z0-9_-]{0,63}$"
PRICED = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"  # names of node types
WHOLE = "pipeline"  # the type of an error that only the whole definition shows; its location is a true field path
_CIRCLE = 8

Name = Annotated[str, Field(pattern=NAME)]
StepName = Name
Scalar = int | float | str | bool

_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}
_WORDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}


class Param(Spec):
    """A value the definition names once: its type, its default and what it is for."""

    type: Literal["int", "float", "str", "bool"]
    default: Scalar
    description: str = ""

    @model_validator(mode="after")
    def _default_has_type(self) -> Self:
        if wanted := mistyped(self.default, self.type):
            detail = PydanticCustomError("param", "{wrong}", {"wrong": f"{show(self.default)} is not {wanted}"})
            line = InitErrorDetails(type=detail, loc=("default",), input=self.default)
            raise ValidationError.from_exception_data("Param", [line])
        return self


def mistyped(value: object, kind: str) -> str:
    """Return in words what a param of type `kind` takes when `value` is not of that type, or nothing."""
    wanted = _TYPES[kind]
    right = isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool))
    return "" if right else _WORDS[kind]


class Pipeline(Spec):
    """Named steps, the params their values came from, and what a run of them may take. Money has no currency."""

    name: Name
    params: dict[Name, Param] = {}
    prices: Annotated[
        dict[Annotated[str, Field(pattern=PRICED)], Annotated[float, Field(ge=0)]],
        Field(description="Of an hour, by node type; CPU and GPU of one of them where a node has no price"),
    ] = {}
    max_cost: Annotated[
        float | None, Field(gt=0, description="Stop the run, which can go on later, once its steps have cost as much")
    ] = None
    timeout: Annotated[float | None, Field(gt=0, description="Seconds after which the run is stopped likewise")] = None
    steps: Annotated[dict[StepName, Job], Field(min_length=1)]

    @model_validator(mode="after")
    def _knows_prices(self) -> Self:
        if self.max_cost is not None and not self.prices:
            detail = PydanticCustomError("max_cost", "needs prices, by which costs are counted")
            line = InitErrorDetails(type=detail, loc=("max_cost",), input=self.max_cost)
            raise ValidationError.from_exception_data("Pipeline", [line])
        return self

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        found = list(islice(faults(self.steps), SHOWN))
        if found:
            details = [
                InitErrorDetails(type=PydanticCustomError(WHOLE, "{text}", {"text": text}), loc=path, input=None)
                for path, text in found
            ]
            raise ValidationError.from_exception_data("Pipeline", details)
        return self


def faults(steps: Mapping[str, Job | None]) -> Iterator[tuple[Path, str]]:
    """Yield (field path, what is wrong) of references, cycles and what the jobs themselves object to.

    A step that is None is known by name alone: it may be referred to, and nothing is said of its type.
    """
    edges: dict[str, set[str]] = {name: set() for name in steps}
    sound = True
    for name, job in steps.items():
        for path, target, wanted in references(job) if job is not None else ():
            wrong = _reference(name, target, wanted, steps)
            if wrong:
                sound = False
                yield ("steps", name, *path), wrong
            if target in steps:
                edges[name].add(target)
    circle = graph.cycle(edges)
    if circle:
        yield _where(steps, circle[0], circle[-2]), f"the steps go round in a circle: {_arrows(circle)}"
    elif sound:
        yield from _objections(steps)


def _reference(name: str, target: str, wanted: type, steps: Mapping[str, Job | None]) -> str:
    need = f"step '{name}' needs {with_article(wanted.__name__)} from {show(target)}, but"
    if target not in steps:
        return f"{need} no step is called that{suggest_or_list(target, steps)}"
    job = steps[target]
    if job is not None and not issubclass(job.produces, wanted):
        return f"{need} '{target}' makes {with_article(job.produces.__name__)}"
    return ""


def _objections(steps: Mapping[str, Job | None]) -> Iterator[tuple[Path, str]]:
    """Ask each job for problems, but only when it can trust every step and reference it looks at."""
    whole = {name: job for name, job in steps.items() if job is not None}
    if len(whole) < len(steps):
        return
    for name, job in whole.items():
        for path, text in job.problems(whole):
            yield ("steps", name, *path), text


def warnings(steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
    """Yield (field path, what is odd) of steps nothing is wrong with."""
    for name, job in steps.items():
        for path, text in job.warnings(steps):
            yield ("steps", name, *path), text


def _where(steps: Mapping[str, Job | None], name: str, target: str) -> Path:
    job = steps[name]
    assert job is not None, "a step known by name alone refers to nothing"
    return next(("steps", name, *path) for path, found, _ in references(job) if found == target)


def _arrows(circle: list[str]) -> str:
    shown = circle if len(circle) <= _CIRCLE + 2 else [*circle[:_CIRCLE], "…", circle[-1]]
    return " -> ".join(shown)
