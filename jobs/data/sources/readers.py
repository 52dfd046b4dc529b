"""Reads tables record by record: CSV, JSON Lines, Parquet. Numbers of rows count from 1; a bad one comes as a BadRow.

Text is decoded with `surrogateescape`, so that bytes which are not UTF-8 spoil their own row only: preparing a text
refuses what could not be encoded again.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cluster.errors import RequestError
from jobs.data import files
from jobs.data.rows import BadRow

Record = tuple[int, Mapping[str, Any] | BadRow]
Records = Iterator[Record]
LONGEST_LINE = 16 << 20  # bytes of a JSON line; characters of a CSV field
MOST_AT_ONCE = 1 << 30  # bytes
BATCH = 256  # rows of Parquet in memory at once


def read_csv(path: str, columns: list[str]) -> Records:
    """Read a CSV file with a header, as RFC 4180 has it; empty lines are no rows."""
    csv.field_size_limit(LONGEST_LINE)
    with files.open_binary(path) as raw:
        reader = csv.reader(io.TextIOWrapper(raw, "utf-8-sig", "surrogateescape", newline=""), strict=True)
        header = next(_lines(reader), None)
        if header is None or isinstance(header, BadRow):
            raise RequestError(path, "has no header" if header is None else header.reason, "a first line of names")
        check_names(path, columns, header)
        for number, fields in enumerate(_lines(reader), start=1):
            if not isinstance(fields, BadRow) and len(fields) != len(header):
                fields = BadRow(f"has {len(fields)} fields, the header has {len(header)} (line {reader.line_num})")
            yield number, fields if isinstance(fields, BadRow) else dict(zip(header, fields, strict=True))


def _lines(reader: Any) -> Iterator[list[str] | BadRow]:
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(f"is not CSV ({error}, line {reader.line_num})")
            continue
        if fields:
            yield fields


def read_jsonl(path: str, columns: list[str]) -> Records:
    """Read a file of one JSON object a line; empty lines are no rows."""
    number = 0
    with files.open_binary(path) as raw:
        while line := raw.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise RequestError(f"{path} row {number + 1}", f"is a line of more than {LONGEST_LINE} bytes")
            if not line.strip():
                continue
            number += 1
            record = _object(line)
            if number == 1 and not isinstance(record, BadRow):
                check_names(path, columns, record)
            yield number, record


def _object(line: bytes) -> Mapping[str, Any] | BadRow:
    try:
        record = json.loads(line)
    except UnicodeDecodeError:
        return BadRow("is not valid UTF-8")
    except (ValueError, RecursionError) as error:
        return BadRow(f"is not JSON ({error})")
    return record if isinstance(record, dict) else BadRow("is not a JSON object")


def read_parquet(path: str, columns: list[str], group: int | None = None, start: int = 0) -> Records:
    """Read a Parquet file batch by batch, only the columns wanted: all of it, or the row group after `start` rows."""
    groups = None if group is None else [group]
    with opened_parquet(path) as table:
        check_names(path, columns, table.schema_arrow.names)
        _refuse_extensions(path, table.schema_arrow, columns)
        number = start
        for batch in table.iter_batches(_rows_at_once(table.metadata, columns), columns=columns, row_groups=groups):
            for record in _records(batch):
                number += 1
                yield number, record


def _rows_at_once(metadata: Any, columns: list[str]) -> int:
    """Return how many rows are read at once: few, where a dictionary may hold one long value for all of them."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(metadata.num_columns))
    wanted = (c for c in chunks if c.has_dictionary_page and c.path_in_schema.split(".")[0] in columns)
    longest = max((chunk.total_uncompressed_size for chunk in wanted), default=0)
    return max(1, min(BATCH, MOST_AT_ONCE // max(1, longest)))


def group_starts(path: str) -> list[int]:
    """Return how many rows of a Parquet file lie before each of its row groups."""
    with opened_parquet(path) as table:
        counts = [table.metadata.row_group(group).num_rows for group in range(table.num_row_groups)]
    return [sum(counts[:group]) for group in range(len(counts))] or [0]


@contextmanager
def opened_parquet(path: str) -> Iterator[Any]:
    """Open a Parquet file; RequestError when it, or a part of it that is read, is damaged."""
    import pyarrow as pa
    from pyarrow import parquet

    with files.open_binary(path) as raw:
        try:
            yield parquet.ParquetFile(raw, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:  # the latter of damaged pages
            raise RequestError(path, f"is not a readable Parquet file ({error})") from None


def _refuse_extensions(path: str, schema: Any, columns: list[str]) -> None:
    """Refuse a column whose values a type registered in this process would make: some unpickle what the file holds."""
    for column in columns:
        if name := _extension(schema.field(column)):
            found = f"holds values of the extension type {name} in the column {column!r}"
            raise RequestError(path, found, "plain values", "write the column as text, numbers or bytes")


def _extension(field: Any) -> str:
    """Return the name of the extension type of a field or of one inside it, empty when there is none."""
    import pyarrow as pa

    if isinstance(field.type, pa.BaseExtensionType):
        return str(field.type.extension_name)
    own = (field.metadata or {}).get(b"ARROW:extension:name", b"").decode("utf-8", "replace")
    inner = (_extension(field.type.field(index)) for index in range(field.type.num_fields))
    return own or next(filter(None, inner), "")


def _records(batch: Any) -> Iterator[Mapping[str, Any] | BadRow]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:  # one bad string: find it row by row
        for row in range(batch.num_rows):
            yield _record(batch.slice(row, 1))


def _record(batch: Any) -> Mapping[str, Any] | BadRow:
    try:
        record: Mapping[str, Any] = batch.to_pylist()[0]
    except UnicodeDecodeError:
        return BadRow("is not valid UTF-8")
    return record


def check_names(path: str, wanted: Iterable[str], found: Iterable[str], what: str = "column") -> None:
    """Raise RequestError when a name that is wanted is not found, or found more than once."""
    names = list(found)
    for name in wanted:
        if names.count(name) > 1:
            raise RequestError(path, f"has {names.count(name)} {what}s named {name!r}", "one")
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            remedy = f"did you mean {near[0]!r}?" if near else ""
            raise RequestError(path, f"has no {what} {name!r}", f"one of {', '.join(names)}", remedy)


READERS: dict[str, Callable[[str, list[str]], Records]] = {
    "csv": read_csv,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
}
