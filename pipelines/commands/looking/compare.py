"""`espalier compare`: two artifacts of a store side by side: what was asked otherwise, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.artifacts import NAME as FACTS
from pipelines.commands.app import app, example
from pipelines.console import columns, say
from pipelines.identity import changes
from pipelines.store import NAME, Record

SKIPPED = ("history", "spec", "preprocess", "recipe", "chain", "rejected", "findings", "strategy", "golden")
LONGEST = 60  # characters of a value
Run = Annotated[str, typer.Argument(metavar="RUN", help="A step's folder in a store, as `espalier runs` prints it")]


@app.command(epilog=example("espalier compare runs/news/small-198e5263a37a runs/news/small-0b5f4c1e22d3"))
def compare(first: Run, second: Run) -> None:
    """Say what was asked of the second otherwise than of the first, and set beside each other what was measured."""
    one, other = _Side(first), _Side(second)
    if one.record.type != other.record.type:
        raise RequestError(second, f"is a {other.record.type}", f"a {one.record.type}, as {first}")
    asked = changes(one.record.identity, other.record.identity)
    made = list(_differing(one.made(), other.made()))
    for text in asked or ["asked for the same"]:
        say(text)
    for line in columns([("", one.name, other.name), *made, *_measured(one.facts, other.facts)]):
        say(line)


class _Side:
    """One of the two: its record and its artifact's facts."""

    def __init__(self, text: str) -> None:
        folder = Folder.parse(text)
        try:
            self.record = Record.model_validate_json(folder.read_bytes(NAME))
            self.facts = json.loads((folder / self.record.attempt).read_bytes(FACTS))["facts"]
        except FileNotFoundError:
            remedy = "`espalier runs` lists them"
            raise RequestError(text, "holds no finished artifact", "a step's folder in a store", remedy) from None
        except (ValueError, KeyError) as error:
            raise RequestError(text, f"is damaged ({str(error).splitlines()[0]})") from None
        self.name = folder.name

    def made(self) -> dict[str, str]:
        made = self.record.made
        size = sum(file.size for file in self.record.manifest.values())
        return {"finished": made.finished[:19], "commit": made.commit[:12], "bytes": f"{size:,}", **made.versions}


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name in [*one, *(name for name in other if name not in one)]:
        if one.get(name) != other.get(name):
            yield name, one.get(name, ""), other.get(name, "")


def _measured(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield numbers and short texts of the artifacts' facts, and how the training of each ended."""
    left, right = dict(_flat(_ended(one))), dict(_flat(_ended(other)))
    for name in [*left, *(name for name in right if name not in left)]:
        a, b = left.get(name), right.get(name)
        yield name, _shown(a), f"{_shown(b)}  {_difference(a, b)}".rstrip()


def _ended(facts: Mapping[str, Any]) -> dict[str, Any]:
    last = (facts.get("history") or [{}])[-1]
    kept = {name: value for name, value in facts.items() if name not in SKIPPED}
    return kept | {name: last[name] for name in ("epoch", "loss", "validation_accuracy") if name in last}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}".lstrip("."))
    elif isinstance(value, str | int | float) and len(str(value)) <= LONGEST:
        yield path, value


def _difference(one: object, other: object) -> str:
    if isinstance(one, bool) or not isinstance(one, int | float) or not isinstance(other, int | float):
        return ""
    return f"{other - one:+.6g}" if other != one else ""


def _shown(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
