from __future__ import annotations

import json

import numpy as np
import pytest
from pyarrow import parquet

from cluster.folder import Folder
from jobs.artifacts import RejectedRow
from jobs.scoring.parts import name_of, sealed, table_of, write_part
from jobs.scoring.scorer import Block

CLASSES = ["cat", "d\udce9g", "owl"]
BLOCKS = [
    Block(["a", "b\udce9"], ["cat", "owl"], [None, None], np.array([[0.5, 0.2, 0.3], [0.1, 0.7, 0.2]], np.float32)),
    Block(["c"], ["cat"], ["is empty"], np.zeros((1, 3), np.float32)),
]


def test_a_row_has_its_label_and_all_probabilities_or_a_reason() -> None:
    table = table_of(BLOCKS, CLASSES, None, labelled=False)
    assert table.drop_columns(["probability", "probabilities"]).to_pylist() == [
        {"row": "a", "label": "cat", "reason": None},
        {"row": r"b\udce9", "label": r"d\udce9g", "reason": None},
        {"row": "c", "label": None, "reason": "is empty"},
    ]
    assert table["probability"].to_pylist() == [0.5, pytest.approx(0.7), None]
    first, second, third = table["probabilities"].to_pylist()
    assert (first, second, third) == (pytest.approx([0.5, 0.2, 0.3]), pytest.approx([0.1, 0.7, 0.2]), None)
    assert json.loads(table.schema.metadata[b"classes"]) == ["cat", r"d\udce9g", "owl"]


def test_the_likeliest_classes_alone() -> None:
    table = table_of(BLOCKS, CLASSES, 2, labelled=False)
    assert table["labels"].to_pylist() == [["cat", "owl"], [r"d\udce9g", "owl"], None]
    assert table["probabilities"].to_pylist()[0] == pytest.approx([0.5, 0.3])


def test_a_part_is_sealed_by_what_it_holds(tmp_path: object) -> None:
    folder = Folder(str(tmp_path))
    seal = write_part(folder, 0, table_of(BLOCKS, CLASSES, None, labelled=True), 4, 7)
    assert (seal.rows, seal.rejected_rows, seal.labelled, seal.right) == (3, 1, 2, 1)
    assert seal.rejected == [RejectedRow(row="c", reason="is empty")]
    assert (seal.piece, seal.offset) == (4, 7)
    assert list(sealed(folder)) == [seal]
    assert parquet.read_table(folder.path / name_of(0))["true_label"].to_pylist() == ["cat", "owl", "cat"]


def test_what_follows_a_torn_part_does_not_count(tmp_path: object) -> None:
    folder = Folder(str(tmp_path))
    seals = [write_part(folder, n, table_of(BLOCKS, CLASSES, None, labelled=False), n, 0) for n in range(3)]
    folder.write_bytes(name_of(1), folder.read_bytes(name_of(1))[:-1])
    assert list(sealed(folder)) == seals[:1]
    folder.remove(name_of(0))
    assert list(sealed(folder)) == []
