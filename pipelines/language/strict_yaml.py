"""Strict YAML: text to plain values and the line each one stands on. Knows nothing of definitions.

Scalars are those of YAML 1.2's core schema, with `_` allowed between the digits of an integer. Refused: duplicate and
non-text keys, anchors, aliases, tags, several documents, and nesting over 50 deep, which is noticed while reading, so
that no text can exhaust stack or memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import yaml

from jobs.spec import Path
from pipelines.language.mistakes import SHOWN, Mistake, show

DEPTH = 50
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Place:
    """The line of a value (of its key, in a mapping) and the places of the values in it."""

    __slots__ = ("line", "parts")

    def __init__(self, line: int, parts: dict[str | int, Place] | None = None) -> None:
        self.line = line
        self.parts = parts or {}

    def line_of(self, path: Path) -> int:
        """Return the line of the field at `path`, or of the innermost mapping or list on the way that exists."""
        place = self
        for part in path:
            if part not in place.parts:
                break
            place = place.parts[part]
        return place.line


@dataclass
class Document:
    """The values of a text, their places, and what was refused; `readable` says whether it was read to its end."""

    value: object
    places: Place
    mistakes: list[Mistake]
    readable: bool = True


class _UnreadableError(Exception):
    """Reading cannot go on; the mistake is already noted."""


def parse(text: str) -> Document:
    """Read one YAML document; what is wrong with it is noted, not raised."""
    reader = _Reader(text)
    try:
        value, places = reader.document()
    except _UnreadableError:
        return Document(None, Place(1), reader.mistakes, readable=False)
    except yaml.MarkedYAMLError as error:
        return Document(None, Place(1), [*reader.mistakes, _syntax(error, text)], readable=False)
    return Document(value, places, reader.mistakes)


def resolve(text: str) -> str | int | float | bool | None:
    """Return what a plain scalar stands for; OverflowError for an integer of more than 64 bits."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] not in "+-.0123456789":  # nearly all scalars: no need to try the patterns
        return text
    if _INT.fullmatch(text):
        return _whole(text, 10)
    if _BASED.fullmatch(text):
        return _whole(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if match := _INFINITY.fullmatch(text):
        return float(f"{match[1]}inf")
    return float("nan") if text in (".nan", ".NaN", ".NAN") else text


def _whole(text: str, base: int) -> int:
    number = int(text, base) if len(text) <= 100 else 2**64
    if not -(2**63) <= number < 2**63:
        raise OverflowError
    return number


class _Reader:
    """Builds values and places from a stream of parser events."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.next_event: Callable[[], yaml.Event] = _LOADER(text).get_event
        self.mistakes: list[Mistake] = []

    def document(self) -> tuple[object, Place]:
        if found := _UNPRINTABLE.search(self.text):
            line = self.text.count("\n", 0, found.start()) + 1
            self.stop((), f"the character {found[0]!r} is not allowed in YAML", line)
        self.next_event()
        if isinstance(self.next_event(), yaml.StreamEndEvent):
            self.stop((), "the file is empty, wanted a mapping with 'name' and 'steps'", 1)
        value, place = self.node(self.next_event(), ())
        self.next_event()
        if not isinstance(after := self.next_event(), yaml.StreamEndEvent):
            self.stop((), "a second document begins, wanted one document", _line(after))
        return value, place

    def node(self, event: yaml.Event, path: Path) -> tuple[object, Place]:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            self.refuse(path, f"the alias *{str(event.anchor)[:40]} is refused; write the value out", line)
            return None, Place(line)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, path, line), Place(line)
        assert isinstance(event, yaml.CollectionStartEvent), "a node begins here"
        self.refuse_marks(event, path, line)
        if len(path) >= DEPTH:
            self.stop(path[:3], f"the nesting is over {DEPTH} deep", line)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path, line)
        return self.mapping(path, line)

    def scalar(self, event: yaml.ScalarEvent, path: Path, line: int) -> object:
        if event.anchor is not None or event.tag is not None:
            self.refuse_marks(event, path, line)
        if not event.implicit[0]:
            return event.value
        try:
            return resolve(event.value)
        except OverflowError:
            self.refuse(path, f"{event.value[:40]} is not a whole number of at most 64 bits", line)
            return None

    def sequence(self, path: Path, line: int) -> tuple[list[object], Place]:
        values: list[object] = []
        places: dict[str | int, Place] = {}
        while not isinstance(event := self.next_event(), yaml.SequenceEndEvent):
            index = len(values)
            value, places[index] = self.node(event, (*path, index))
            values.append(value)
        return values, Place(line, places)

    def mapping(self, path: Path, line: int) -> tuple[dict[str, object], Place]:
        values: dict[str, object] = {}
        places: dict[str | int, Place] = {}
        while not isinstance(event := self.next_event(), yaml.MappingEndEvent):
            at = _line(event)
            key = self.key(event, path, at)
            value, place = self.node(self.next_event(), (*path, key))
            if key in values:
                self.refuse((*path, key), f"is written twice, first on line {places[key].line}", at)
                continue
            values[key] = value
            place.line = at
            places[key] = place
        return values, Place(line, places)

    def key(self, event: yaml.Event, path: Path, line: int) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            value, _ = self.node(event, (*path, "?"))
            self.refuse((*path, "?"), f"{show(value)} stands as a key, wanted text", line)
            return "?"
        value = self.scalar(event, (*path, event.value), line)
        if not isinstance(value, str):
            found = event.value[:40] or "that is empty"
            self.refuse((*path, event.value), f"the key {found} is not text; put it in quotes", line)
        return event.value

    def refuse_marks(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, path: Path, line: int) -> None:
        if event.anchor is not None:
            self.refuse(path, f"the anchor &{event.anchor[:40]} is refused; leave it out", line)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.refuse(path, f"the tag {tag[:80]} is refused; leave it out", line)

    def refuse(self, path: Path, text: str, line: int) -> None:
        self.mistakes.append(Mistake(path, text, line))
        if len(self.mistakes) > SHOWN:
            raise _UnreadableError

    def stop(self, path: Path, text: str, line: int) -> None:
        self.refuse(path, text, line)
        raise _UnreadableError


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None, "the loader marks every event"
    return event.start_mark.line + 1


def _syntax(error: yaml.MarkedYAMLError, text: str) -> Mistake:
    index = error.problem_mark.line if error.problem_mark else 0
    lines = text.splitlines()
    line = lines[index] if index < len(lines) else ""
    wrong = error.problem or "cannot be read"
    if "\t" in line[: len(line) - len(line.lstrip())]:
        wrong += "; a tab indents this line, YAML wants spaces"
    elif "${" in line:
        wrong += "; a ${…} inside { } or [ ] must stand in quotes"
    elif error.context:
        wrong += f" {error.context}"
    return Mistake((), f"is not YAML: {wrong}", index + 1)
