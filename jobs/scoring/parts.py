"""Answers as Parquet files, written one by one; each is sealed by what it holds and where to go on after it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import parquet

from cluster.folder import Folder
from jobs.artifacts import RejectedRow
from jobs.scoring.scorer import Block
from jobs.spec import Spec

LISTED = 1_000  # rejected rows listed


class Seal(Spec):
    """What a part holds, and the place in the source after its last row: a piece, and rows of that piece."""

    sha256: str
    rows: int
    rejected_rows: int
    rejected: list[RejectedRow]
    labelled: int  # rows scored that have a label
    right: int
    piece: int
    offset: int


def name_of(number: int) -> str:
    """Return the name of a part's file."""
    return f"part-{number:05}.parquet"


def sealed(folder: Folder) -> Iterator[Seal]:
    """Yield the seals of the parts that are whole, from the first on; what follows a torn one does not count."""
    for number in count():
        name = name_of(number)
        if not (folder.exists(f"{name}.json") and folder.exists(name)):
            return
        seal = Seal.model_validate_json(folder.read_bytes(f"{name}.json"))
        if folder.sha256(name) != seal.sha256:
            return
        yield seal


def table_of(blocks: Sequence[Block], classes: list[str], top: int | None, labelled: bool) -> pa.Table:
    """Return the rows of `blocks` as a table: its columns are those of the Scores artifact."""
    probabilities = np.concatenate([block.probabilities for block in blocks])
    reasons = [reason for block in blocks for reason in block.reasons]
    refused = np.array([reason is not None for reason in reasons])
    named = pa.array([_text(name) for name in classes], pa.string())
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, : top or 1]
    ranked = np.take_along_axis(probabilities, order, axis=1)
    best = named.take(pa.array(order[:, 0])).to_pylist()
    columns = {
        "row": pa.array([_text(name) for block in blocks for name in block.names], pa.string()),
        "label": pa.array(best, pa.string(), mask=refused),
        "probability": pa.array(ranked[:, 0], pa.float32(), mask=refused),
    }
    if top is not None:
        columns["labels"] = _lists(named.take(pa.array(order.ravel())), order.shape[1], refused)
        probabilities = ranked
    columns["probabilities"] = _lists(pa.array(probabilities.ravel()), probabilities.shape[1], refused)
    columns["reason"] = pa.array(reasons, pa.string())
    if labelled:
        given = [_text(label) or None for block in blocks for label in block.labels]
        columns["true_label"] = pa.array(given, pa.string())
    return pa.table(columns).replace_schema_metadata({"classes": json.dumps(named.to_pylist())})


def write_part(folder: Folder, number: int, table: pa.Table, piece: int, offset: int) -> Seal:
    """Write part `number`, then its seal."""
    file = io.BytesIO()
    parquet.write_table(table, file)
    name, data = name_of(number), file.getvalue()
    folder.write_bytes(name, data)
    reasons = zip(table["row"].to_pylist(), table["reason"].to_pylist(), strict=True)
    refused = [RejectedRow(row=row, reason=reason) for row, reason in reasons if reason is not None]
    answered = table.filter(pc.is_valid(table["label"]))
    given = answered["true_label"] if "true_label" in table.column_names else None
    seal = Seal(
        sha256=hashlib.sha256(data).hexdigest(),
        rows=table.num_rows,
        rejected_rows=len(refused),
        rejected=refused[:LISTED],
        labelled=0 if given is None else pc.count(given).as_py(),
        right=0 if given is None else pc.sum(pc.equal(given, answered["label"])).as_py() or 0,
        piece=piece,
        offset=offset,
    )
    folder.write_bytes(f"{name}.json", seal.model_dump_json().encode())
    return seal


def _text(text: str) -> str:
    """Return `text` with what UTF-8 cannot hold, such as names of files, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _lists(values: pa.Array, width: int, refused: NDArray[np.bool_]) -> pa.Array:
    """Return lists of `width` values each, null where `refused`."""
    return pa.FixedSizeListArray.from_arrays(values, width, mask=pa.array(refused))
