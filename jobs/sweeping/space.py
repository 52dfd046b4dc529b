"""The space of a sweep: which fields of a specification are drawn from what, and a specification with them replaced."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from itertools import product
from typing import Any, TypeVar

from pydantic import ValidationError

from cluster.errors import StepError
from jobs.spec import INCIDENTAL, Path, Ref, Scalar, Spec, walk
from jobs.sweeping.distributions import Distribution
from jobs.sweeping.trials import Trials

Values = dict[str, Scalar]  # by dotted path
Space = Mapping[str, Distribution]
Kind = TypeVar("Kind", bound=Spec)

_PART = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)((?:\[\d+\])*)")
_LEAF = (bool, int, float, str, type(None))


def in_chain(text: str) -> bool:
    """Say whether a path lies in the compression; the others lie in the training."""
    return text.startswith("techniques")


def parsed(text: str) -> Path | None:
    """Return the path that `text` writes (`augment[0].degrees`), None when it writes none."""
    path: list[str | int] = []
    for part in text.split("."):
        if not (match := _PART.fullmatch(part)):
            return None
        path += [match[1], *(int(index) for index in re.findall(r"\d+", match[2]))]
    return tuple(path)


def value_at(spec: Spec, text: str) -> tuple[Any, str]:
    """Return the value of a field, and what is wrong with its path; an empty text when nothing is."""
    path = parsed(text)
    if path is None:
        return None, "is not a path to a field, such as model.dropout or augment[0].degrees"
    value: Any = spec.model_dump(mode="json")
    for index, part in enumerate(path):
        known = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
        if part not in known:
            return None, _unknown(path[:index], part, known)
        value = value[part]
    if not isinstance(value, _LEAF):
        return None, "is not a number, a text, or true or false: name one of its fields"
    if any(place == path and any(isinstance(mark, Ref) for mark in marks) for place, _, marks in walk(spec)):
        return None, "names a step, which cannot be drawn"
    return value, ""


def _unknown(outer: Path, part: str | int, known: list[Any]) -> str:
    where = f"'{written(outer)}'" if outer else "the specification"
    if isinstance(part, int):
        return f"{where} has {len(known)} entries, and none numbered {part}"
    near = get_close_matches(part, [name for name in known if isinstance(name, str)], 1)
    if not known:
        return f"{where} is not set in the definition, so it has no field '{part}'"
    return f"{where} has no field '{part}'" + (f"; did you mean '{near[0]}'?" if near else "")


def written(path: Path) -> str:
    """Return a path as text."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def replaced(spec: Kind, values: Mapping[str, Scalar]) -> Kind:
    """Return `spec` with the fields at the paths replaced, checked anew; ValidationError when that makes it wrong."""
    document = spec.model_dump(mode="json")
    for text, value in values.items():
        *outer, last = parsed(text) or ()
        inside: Any = document
        for part in outer:
            inside = inside[part]
        inside[last] = value
    return type(spec).model_validate(document)


def applied(spec: Kind, values: Mapping[str, Scalar], chain: bool) -> Kind:
    """Return `spec` with a winner's values, of the compression or the others; StepError names one it cannot take."""
    mine = {name: value for name, value in values.items() if in_chain(name) == chain}
    for name in mine:
        if wrong := value_at(spec, name)[1]:
            raise StepError(f"best_of: {name}", wrong, "a field that the sweep's own has too")
    try:
        return replaced(spec, mine)
    except ValidationError as error:
        raise StepError("best_of", f"gives values this step cannot take ({error})") from None


def best(spec: Kind, step: str, chosen: Trials, tell: Callable[[dict[str, Any]], None], chain: bool) -> Kind:
    """Return `spec` with the values that won in the sweep `step`, and tell which; StepError as of `applied`."""
    tell({"best_of": step, "trial": chosen.best, "values": chosen.values})
    return applied(spec, chosen.values, chain).model_copy(update={"best_of": None})


def outside(spec: Spec, text: str, distribution: Distribution) -> str:
    """Return what is wrong with the values `distribution` gives the field at `text`; empty when nothing is."""
    for value in distribution.corners():
        try:
            replaced(spec, {text: value})
        except ValidationError as error:
            return f"{value!r} is not a value this field can take ({error.errors(include_url=False)[0]['msg']})"
    return ""


def undrawn(spec: Spec, text: str) -> str:
    """Return why the field at `text`, which is there, is of no use to a sweep; empty when it is of some."""
    path = parsed(text) or ()
    if path[0] == "strategy":
        return "says where trials run, which is the same for all of them: sweep what is trained, not where"
    for place, _, marks in walk(spec):
        if INCIDENTAL in marks and path[: len(place)] == place:
            return "says how patiently or where work runs, and changes nothing in what it makes"
    return ""


def conditions(space: Space) -> Iterator[tuple[Path, str]]:
    """Yield (path in the space, what is wrong) of what `when` says."""
    for text, distribution in space.items():
        for other, wanted in distribution.when.items():
            place = (text, "when", other)
            if other not in space:
                yield place, f"'{other}' is no field of the space"
            elif spare := [value for value in wanted if not space[other].holds(value)]:
                yield place, f"'{other}' never is {spare[0]!r}"
    try:
        ordered(space)
    except CycleError as error:
        yield (error.args[1][0], "when"), "goes round in a circle: " + " -> ".join(error.args[1])


def ordered(space: Space) -> list[str]:
    """Return the fields in an order in which each comes after those its `when` names; CycleError when there is none."""
    needs = {text: [other for other in distribution.when if other in space] for text, distribution in space.items()}
    return list(TopologicalSorter(needs).static_order())


def counts(distribution: Distribution, values: Mapping[str, Scalar]) -> bool:
    """Say whether a field is drawn where `values` have been drawn."""
    return all(other in values and values[other] in wanted for other, wanted in distribution.when.items())


def grid(space: Space) -> Iterator[Values]:
    """Yield every combination of values, each once; every distribution must list its values."""
    names, seen = ordered(space), set()
    for combined in product(*(space[name].every() or [] for name in names)):
        values: Values = {}
        for name, value in zip(names, combined, strict=True):
            if counts(space[name], values):
                values[name] = value
        key = tuple(sorted((name, repr(value)) for name, value in values.items()))
        if key not in seen:
            seen.add(key)
            yield values
