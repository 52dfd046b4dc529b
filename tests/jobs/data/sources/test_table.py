from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.artifacts import RejectedRow
from jobs.data.rows import Row
from jobs.data.sources import Source, readers
from jobs.data.sources.table import Table
from tests.jobs.data.making import png

Taken = list[tuple[str, Any, Any]]


def table(path: Any, **fields: Any) -> Table:
    return Table.model_validate({"kind": "table", "path": path if isinstance(path, dict) else str(path), **fields})


def taken(source: Source) -> Taken:
    """Return (name, raw, label) of rows, and (name, None, reason) of rejected ones."""
    return [
        (row.name, row.raw, row.label) if isinstance(row, Row) else (row.row, None, row.reason) for row in source.rows()
    ]


def error(source: Table) -> str:
    with pytest.raises(RequestError) as caught:
        list(source.rows())
    return str(caught.value)


def test_csv_rows_are_named_by_number(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes('\ufefftext,label\r\n"a, ""b""\r\nc",x\r\n\r\nd,1\r\n'.encode())
    assert taken(table(tmp_path / "t.csv", text="text")) == [
        ("t.csv row 1", 'a, "b"\r\nc', "x"),
        ("t.csv row 2", "d", "1"),
    ]


def test_a_ragged_row_is_rejected_with_its_number_and_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('text,label\n"two\nlines",x\nb,x,extra\nc\nd,y\n')
    assert taken(table(tmp_path / "t.csv", text="text")) == [
        ("t.csv row 1", "two\nlines", "x"),
        ("t.csv row 2", None, "has 3 fields, the header has 2 (line 4)"),
        ("t.csv row 3", None, "has 1 fields, the header has 2 (line 5)"),
        ("t.csv row 4", "d", "y"),
    ]


def test_broken_quoting_and_a_missing_label_spoil_their_row_only(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('text,label\n"a"b,x\nc,\nd,y\n"e')
    assert taken(table(tmp_path / "t.csv", text="text")) == [
        ("t.csv row 1", None, "is not CSV (',' expected after '\"', line 2)"),
        ("t.csv row 2", None, "has no label"),
        ("t.csv row 3", "d", "y"),
        ("t.csv row 4", None, "is not CSV (unexpected end of data, line 5)"),
    ]


def test_json_lines_reject_what_is_no_object(tmp_path: Path) -> None:
    lines = ['{"text": "a", "label": 3}', "[1]", "{", '{"text": 5, "label": "x"}', '{"label": "x"}', "[" * 100_000]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    found = taken(table(tmp_path / "t.jsonl", text="text"))
    assert found[0] == ("t.jsonl row 1", "a", "3")
    assert [reason.partition(" (")[0] for _, _, reason in found[1:]] == [
        "is not a JSON object",
        "is not JSON",
        "has int where a text was wanted",
        "has no text",
        "is not JSON",
    ]


def test_parquet_is_read_with_all_its_rows(tmp_path: Path) -> None:
    rows = {
        "text": [f"t{n}" for n in range(1_000)],
        "label": pa.array([n % 3 for n in range(1_000)]),
        "more": [0] * 1_000,
    }
    parquet.write_table(pa.table(rows), tmp_path / "t.parquet", row_group_size=300)
    found = taken(table(tmp_path / "t.parquet", text="text"))
    assert len(found) == 1_000
    assert found[999] == ("t.parquet row 1000", "t999", "0")


def test_a_long_value_that_many_rows_share_is_in_memory_for_few(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(readers, "MOST_AT_ONCE", 64 << 20)
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 200, pa.int32()), pa.array(["x" * (8 << 20)]))
    parquet.write_table(pa.table({"text": shared, "label": ["a"] * 200}), tmp_path / "t.parquet", store_schema=False)
    before = pa.default_memory_pool().max_memory()
    names = [name for name, _, _ in taken(table(tmp_path / "t.parquet", text="text"))]
    assert names == [f"t.parquet row {number}" for number in range(1, 201)]
    assert pa.default_memory_pool().max_memory() - before < 400 << 20, "all at once are 1,600 MB"


def test_invalid_utf8_in_parquet_spoils_its_row_only(tmp_path: Path) -> None:
    words = pa.array([b"a", b"\xff", b"c"]).view(pa.string())
    parquet.write_table(pa.table({"text": words, "label": ["x", "y", "x"]}), tmp_path / "t.parquet")
    assert taken(table(tmp_path / "t.parquet", text="text")) == [
        ("t.parquet row 1", "a", "x"),
        ("t.parquet row 2", None, "is not valid UTF-8"),
        ("t.parquet row 3", "c", "x"),
    ]


def test_images_come_as_bytes_structs_or_paths(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "t.csv").write_text("image,label\na.png,x\n../a.png,x\n/etc/hostname,x\nb.png,x\n,x\n")
    assert taken(table(tmp_path / "t.csv", image="image")) == [
        ("t.csv row 1", png(1), "x"),
        ("t.csv row 2", None, "names '../a.png', which is not below the folder of the images"),
        ("t.csv row 3", None, "names '/etc/hostname', which is not below the folder of the images"),
        ("t.csv row 4", None, "names 'b.png', which cannot be read (No such file or directory)"),
        ("t.csv row 5", None, "has no image"),
    ]
    values = [{"bytes": png(2), "path": None}, {"bytes": None, "path": "a.png"}]
    parquet.write_table(pa.table({"image": values, "label": ["x", "y"]}), tmp_path / "t.parquet")
    assert taken(table(tmp_path / "t.parquet", image="image"))[0][1] == png(2)
    assert taken(table(tmp_path / "t.parquet", image="image"))[1][2] == (
        "holds the path of an image, and no folder is set"
    )
    assert taken(table(tmp_path / "t.parquet", image="image", folder=str(tmp_path)))[1][1] == png(1)


def test_splits_come_from_paths_or_a_column(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label,part\na,x,train\nb,x,test\n")
    by_column = table(tmp_path / "t.csv", text="text", split="part").rows()
    assert [row.split for row in by_column if isinstance(row, Row)] == ["train", "test"]
    by_path = table({"train": str(tmp_path / "t.csv"), "test": [str(tmp_path / "t.csv")]}, text="text").rows()
    assert [row.split for row in by_path if isinstance(row, Row)] == ["train", "train", "test", "test"]


def test_an_unknown_split_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label,part\na,x,dev\n")
    assert error(table(tmp_path / "t.csv", text="text", split="part")) == (
        "t.csv row 1: has split 'dev', wanted train, validation, test"
    )


def test_a_missing_column_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("texts,label\na,x\n")
    path = tmp_path / "t.csv"
    assert error(table(path, text="text")) == (
        f"{path}: has no column 'text', wanted one of texts, label; did you mean 'texts'?"
    )


def test_regression_and_multi_label_are_refused(tmp_path: Path) -> None:
    for value, kind in ((0.5, "float"), (["a", "b"], "list"), (True, "bool")):
        (tmp_path / "t.jsonl").write_text(json.dumps({"text": "a", "label": value}))
        if kind == "bool":
            assert taken(table(tmp_path / "t.jsonl", text="text")) == [("t.jsonl row 1", "a", "True")]
            continue
        assert error(table(tmp_path / "t.jsonl", text="text")) == (
            f"t.jsonl row 1: has a {kind} as label, wanted a name or an integer; "
            "classification is single-label; multi-label and regression are refused"
        )


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing more")
    assert error(table(tmp_path / "t.parquet", text="text")).startswith(
        f"{tmp_path / 't.parquet'}: is not a readable Parquet file ("
    )


@pytest.mark.parametrize("compression", ["snappy", "zstd"])
def test_a_damaged_page_of_parquet_is_named(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "t.parquet"
    rows = {"text": [f"an oak and {number} anchors" for number in range(5_000)], "label": ["a", "b"] * 2_500}
    parquet.write_table(pa.table(rows), path, compression=compression, use_dictionary=False)
    raw = bytearray(path.read_bytes())
    for place in range(200, 2_000):
        raw[place] ^= 0xFF
    path.write_bytes(raw)
    assert error(table(path, text="text")).startswith(f"{path}: is not a readable Parquet file (")


def test_a_question_mark_in_the_name_of_a_file_is_no_query(tmp_path: Path) -> None:
    (tmp_path / "what?.csv").write_text("text,label\na,x\n")
    assert taken(table(tmp_path / "what?.csv", text="text")) == [("what?.csv row 1", "a", "x")]


def test_what_is_no_path_spoils_its_row_only(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    rows = [{"image": name, "label": "x"} for name in ("a\0.png", "\ud800.png", "a.png")]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert taken(table(tmp_path / "t.jsonl", image="image")) == [
        ("t.jsonl row 1", None, "names 'a\\x00.png', which cannot be read (embedded null byte)"),
        (
            "t.jsonl row 2",
            None,
            "names '\\ud800.png', which cannot be read ('utf-8' codec can't encode character '\\ud800' in position "
            f"{len(str(tmp_path)) + 1}: surrogates not allowed)",
        ),
        ("t.jsonl row 3", png(1), "x"),
    ]


def test_an_endless_line_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b'"' + b"a" * (17 << 20))
    path = tmp_path / "t.jsonl"
    assert error(table(path, text="text")) == f"{path} row 1: is a line of more than 16777216 bytes"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": "t.csv"}, "needs text, image or both, the names of columns"),
        (
            {"path": "t.xls", "text": "a"},
            "t.xls has none of the extensions .csv, .jsonl, .ndjson, .json, .parquet, .pq",
        ),
        ({"path": {"train": "t.csv"}, "text": "a", "split": "b"}, "gives splits twice: by the mapping of paths"),
    ],
)
def test_fields_that_do_not_agree_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Table.model_validate({"kind": "table", **fields})
    assert caught.value.errors()[0]["msg"].startswith(message)


def test_the_digest_follows_images_that_a_text_table_names(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,label\na.png,x\n")
    assert table(tmp_path / "t.csv", image="image").digest(str) == f"{tmp_path / 't.csv'}\n{tmp_path}"
    assert table(tmp_path / "t.csv", text="image").digest(str) == str(tmp_path / "t.csv")


def test_relative_paths_are_taken_from_a_root(tmp_path: Path) -> None:
    placed = table({"train": "t.csv", "test": ["s3://bucket/t.csv"]}, image="image", folder="pictures").located(
        tmp_path
    )
    assert placed.inputs() == [str(tmp_path / "t.csv"), "s3://bucket/t.csv", str(tmp_path / "pictures")]


def test_a_table_and_its_images_are_read_from_an_object_store(s3_root: Folder, tmp_path: Path) -> None:
    s3_root.write_bytes("t.csv", b"image,label\nimages/a.png,x\nimages/b.png,y\n")
    s3_root.write_bytes("images/a.png", png(1))
    base, _, query = s3_root.location.partition("?")
    found = list(table(f"{base}/t.csv?{query}", image="image").rows())
    assert found[0] == Row("t.csv row 1", png(1), "x")
    assert isinstance(found[1], RejectedRow)
    with pytest.raises(RequestError, match="does not exist; mend the path"):
        list(table(f"{base}/none.csv?{query}", text="text").rows())
