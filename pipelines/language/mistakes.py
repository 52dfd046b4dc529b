"""Mistakes in a definition: where each one is and what it is, in words. One error holds them all."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cluster.errors import RequestError
from jobs.spec import Path

SHOWN = 100  # mistakes printed; a file with thousands has one cause, not thousands
_WIDTH = 80
_NAMES = 10
_CANDIDATES = 300
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong: the field it is in, what is wrong, and the line, where the field alone does not give it."""

    path: Path
    text: str
    line: int | None = None


class DefinitionError(RequestError):
    """Everything that is wrong with a definition, one line each."""

    @classmethod
    def of(cls, lines: Sequence[str]) -> DefinitionError:
        """Join `lines`, each a whole mistake; beyond a hundred they are left out."""
        more = [f"… and more; these are the first {SHOWN}"] if len(lines) > SHOWN else []
        return cls("\n".join([*lines[:SHOWN], *more]))


def located(file: str, mistakes: Iterable[Mistake], line_of: Callable[[Path], int]) -> list[str]:
    """Return `file:line: field: what is wrong` of each mistake, in the order of the file's lines."""
    placed = sorted(((m.line or line_of(m.path), m) for m in mistakes), key=lambda pair: pair[0])
    fields = (f"{dotted(m.path)}: {m.text}" if m.path else m.text for _, m in placed)
    return [f"{file}:{line}: {field}" for (line, _), field in zip(placed, fields, strict=True)]


def dotted(path: Path) -> str:
    """Write a field path as people do: `steps.small.techniques[1].sparsity`."""
    text = ""
    for part in path:
        if isinstance(part, str) and _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{part if isinstance(part, int) else show(part)}]"
    return text


def show(value: object) -> str:
    """Write a found value on one line of at most about 80 characters, as it would stand in YAML."""
    if value is None:
        return "an empty value"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value[: _WIDTH + 1]) if isinstance(value, str) else repr(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def suggest(name: object, known: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the known name nearest to `name`, or nothing when none is near."""
    names = list(known)
    if not isinstance(name, str) or len(name) > _WIDTH:
        return ""
    if len(names) > _CANDIDATES:  # difflib is slow: of very many names only those about as long are tried
        names = [other for other in names if abs(len(other) - len(name)) <= 2][:_CANDIDATES]
    near = difflib.get_close_matches(name, names, n=1)
    return f", did you mean '{near[0]}'?" if near else ""


def suggest_or_list(name: object, known: Iterable[str]) -> str:
    """Return the nearest known name, or the known names when none is near."""
    names = list(known)
    return suggest(name, names) or f" ({listed(names)})"


def listed(names: Sequence[str]) -> str:
    """Return `known: a, b`, cut short when there are very many."""
    more = f", … and {len(names) - _NAMES:,} more" if len(names) > 2 * _NAMES else ""
    shown = names[:_NAMES] if more else names
    return f"known: {', '.join(shown)}{more}" if names else "none is known"


def with_article(noun: str) -> str:
    """Return `a Dataset`, `an Endpoint`."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
