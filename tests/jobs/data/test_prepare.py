from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cluster.errors import RequestError, StepError
from jobs.artifacts import Dataset
from jobs.data.shards import read, read_texts
from tests.jobs.data.making import huge_png, image_folder, jpeg, made, png


def csv_of(path: Path, rows: list[tuple[str, str]]) -> dict[str, Any]:
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return {"kind": "table", "path": str(path), "text": "text"}


def texts(count: int, name: str = "row") -> list[tuple[str, str]]:
    return [(f"{name} {n}", "ab"[n % 2]) for n in range(count)]


def failure(folder: Path, source: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(StepError) as caught:
        made(folder, source, **fields)
    assert list(folder.iterdir()) == [], "a failure leaves no spool"
    return str(caught.value)


def test_digits_become_shards_of_eight_by_eight(tmp_path: Path) -> None:
    dataset, told = made(tmp_path / "out", {"kind": "digits"})
    assert dataset.rows == {"train": 1_440, "validation": 179, "test": 178}
    assert dataset.image == [8, 8, 1]
    assert dataset.classes == [str(digit) for digit in range(10)]
    train = read(tmp_path / "out" / "train.arrow")
    assert (train.x.shape, train.x.dtype.name, train.x.max()) == ((1_440, 8, 8, 1), "uint8", 255)
    assert set(train.y) == set(range(10))
    assert told == [{"rows": 1_000}, {"rows": 1_797}]


def test_the_same_source_gives_the_same_digest_and_a_seed_changes_it(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "t.csv", texts(100))
    first, _ = made(tmp_path / "a", source)
    again, _ = made(tmp_path / "b", source)
    other, _ = made(tmp_path / "c", source, split={"seed": 1})
    assert first.digest == again.digest
    assert first.digest != other.digest


def test_classes_are_sorted_whatever_came_first(tmp_path: Path) -> None:
    rows = [(f"{label} {n}", label) for label in ("zebra", "ant") for n in range(20)]
    dataset, _ = made(tmp_path / "out", csv_of(tmp_path / "t.csv", rows))
    train = read_texts(tmp_path / "out" / "train.arrow")
    assert dataset.classes == ["ant", "zebra"]
    assert {(text.split()[0], label) for text, label in zip(train, train.y, strict=True)} == {("ant", 0), ("zebra", 1)}


def test_given_splits_are_kept_and_a_missing_validation_is_taken_from_train(tmp_path: Path) -> None:
    train = csv_of(tmp_path / "train.csv", texts(100))
    csv_of(tmp_path / "test.csv", texts(30, "other"))
    source = train | {"path": {"train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv")}}
    dataset, _ = made(tmp_path / "out", source)
    assert dataset.rows == {"train": 90, "validation": 10, "test": 30}
    assert list(read_texts(tmp_path / "out" / "test.arrow")) == [text for text, _ in texts(30, "other")]


def test_rows_set_aside_return_to_train_when_the_source_gives_the_split(tmp_path: Path) -> None:
    rows = [f"t{n},{'ab'[n % 2]},train" for n in range(40)] + [f"v{n},{'ab'[n % 2]},validation" for n in range(6)]
    (tmp_path / "t.csv").write_text("text,label,part\n" + "\n".join(rows))
    source = {"kind": "table", "path": str(tmp_path / "t.csv"), "text": "text", "split": "part"}
    dataset, _ = made(tmp_path / "out", source, split={"test": 0})
    assert dataset.rows == {"train": 40, "validation": 6}
    assert sorted(read_texts(tmp_path / "out" / "train.arrow")) == sorted(f"t{n}" for n in range(40))


def test_corrupt_images_are_counted_and_listed(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets", each=100)
    (folder / "cat" / "broken.jpg").write_bytes(jpeg(0, 64, 64)[:900])
    dataset, told = made(tmp_path / "out", {"kind": "images", "path": str(folder)})
    assert (dataset.rejected_rows, [row.model_dump() for row in dataset.rejected]) == (
        1,
        [{"row": "cat/broken.jpg", "reason": "is truncated or corrupt"}],
    )
    assert told[-1] == {"warning": "1 of 201 rows (0.50%) cannot be used: cat/broken.jpg is truncated or corrupt"}


def test_too_many_corrupt_images_fail_and_the_first_are_named(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets", each=10)
    for number in range(5):
        (folder / "cat" / f"broken{number}.jpg").write_bytes(jpeg(0, 64, 64)[:900])
    assert failure(tmp_path / "out", {"kind": "images", "path": str(folder)}) == (
        "the data set: 5 of 25 rows (20.00%) cannot be used: cat/broken0.jpg is truncated or corrupt; "
        "cat/broken1.jpg is truncated or corrupt; cat/broken2.jpg is truncated or corrupt; and 2 more, "
        "wanted at most 1.00%; mend them or raise max_rejected"
    )


def test_a_huge_image_is_a_rejected_row(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets", each=10)
    (folder / "dog" / "huge.png").write_bytes(huge_png())
    dataset, _ = made(tmp_path / "out", {"kind": "images", "path": str(folder)}, max_rejected=0.1)
    assert [row.model_dump() for row in dataset.rejected] == [
        {"row": "dog/huge.png", "reason": "is 12000x12000 pixels, more than 16777216 in all"}
    ]


def test_images_of_two_sizes_need_a_size(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets")
    (folder / "dog" / "other.png").write_bytes(png(0, 20, 30))
    source = {"kind": "images", "path": str(folder)}
    assert failure(tmp_path / "out", source) == (
        "dog/other.png: is 20x30x3, wanted 16x12x3 as the images before it; "
        "set image: {height, width, channels} to bring all to one size"
    )
    dataset, _ = made(tmp_path / "out", source, image={"height": 10, "width": 9, "channels": 1})
    assert dataset.image == [10, 9, 1]
    assert read(tmp_path / "out" / "train.arrow").x.shape[1:] == (10, 9, 1)


def test_one_class_is_refused(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "t.csv", [(f"row {n}", "only") for n in range(30)])
    assert failure(tmp_path / "out", source) == "the data set: has one class, 'only', wanted at least two"


def test_a_class_without_a_usable_row_is_refused(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "t.csv", [*texts(200), (" ", "ghost")])
    assert failure(tmp_path / "out", source) == (
        "the data set: class 'ghost' has no usable row, wanted at least one; mend its rows or remove it"
    )


def test_a_label_unseen_in_training_is_named(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "train.csv", texts(100))
    csv_of(tmp_path / "test.csv", [("one", "a"), ("two", "bird"), ("three", "bird")])
    source["path"] = {"train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv")}
    assert failure(tmp_path / "out", source) == (
        "the data set: label 'bird' is in test (rows: 2), and in no row of train, wanted labels seen in training; "
        "mend the label, or move rows of it to train"
    )


def test_no_rows_and_too_few_rows_are_refused(tmp_path: Path) -> None:
    assert failure(tmp_path / "out", csv_of(tmp_path / "none.csv", [])) == (
        "the data set: the source holds no rows, wanted labelled rows"
    )
    assert failure(tmp_path / "out", csv_of(tmp_path / "few.csv", texts(2))) == (
        "the data set: has too few rows (2) to give 0.1 of them to validation, wanted more rows"
    )


def test_the_same_text_in_two_splits_is_reported(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "train.csv", texts(100))
    csv_of(tmp_path / "test.csv", [("row 0 ", "a"), ("row 1", "b"), ("fresh", "a")])
    csv_of(tmp_path / "validation.csv", [("new", "a"), ("newer", "b")])
    source["path"] = {split: str(tmp_path / f"{split}.csv") for split in ("train", "validation", "test")}
    dataset, told = made(tmp_path / "out", source)
    assert [overlap.model_dump() for overlap in dataset.overlaps] == [{"first": "train", "second": "test", "rows": 2}]
    assert told[-1] == {"warning": "rows of test that are in train too: 2"}


def test_the_same_image_in_another_format_is_found_in_every_split(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        image_folder(tmp_path / "pets" / split, each=3)
    for file in (tmp_path / "pets" / "test").rglob("*.png"):
        Image.open(file).save(file.with_suffix(".bmp"))
        file.unlink()
    source = {"kind": "images", "path": str(tmp_path / "pets"), "splits": True}
    dataset, _ = made(tmp_path / "out", source)
    assert dataset.rows == {"train": 6, "validation": 6, "test": 6}
    assert [(overlap.first, overlap.second, overlap.rows) for overlap in dataset.overlaps] == [
        ("train", "validation", 6),
        ("train", "test", 6),
        ("validation", "test", 6),
    ]


def test_bad_texts_are_listed_with_row_and_reason(tmp_path: Path) -> None:
    rows = [json.dumps({"text": text, "label": label}).encode() for text, label in texts(100)]
    rows += [
        b'{"text": "", "label": "a"}',
        b'{"text": "\xff\xfe", "label": "a"}',
        b'{"text": "a\\u0000b", "label": "a"}',
    ]
    (tmp_path / "t.jsonl").write_bytes(b"\n".join(rows))
    source = {"kind": "table", "path": str(tmp_path / "t.jsonl"), "text": "text"}
    dataset, _ = made(tmp_path / "out", source, max_rejected=0.1)
    assert [(row.row, row.reason) for row in dataset.rejected] == [
        ("t.jsonl row 101", "is empty"),
        ("t.jsonl row 102", "is not valid UTF-8"),
    ]
    kept = [text for split in dataset.rows for text in read_texts(tmp_path / "out" / f"{split}.arrow")]
    assert "ab" in kept, "NUL is taken out of a text"


NOT_UTF8 = "has a label that is not valid UTF-8"


@pytest.mark.parametrize(
    ("name", "raw", "fields", "reason"),
    [
        ("t.csv", b"text,label,whose\nhello,caf\xe9,me\n", {}, NOT_UTF8),
        ("t.jsonl", b'{"text": "hello", "label": "\\ud800x", "whose": "me"}\n', {}, NOT_UTF8),
        (
            "t.csv",
            b"text,label,whose\nhello,a,caf\xe9\n",
            {"client": "whose"},
            "has a client that is not valid UTF-8",
        ),
    ],
)
def test_a_name_that_is_not_utf8_spoils_its_row_only(
    tmp_path: Path, name: str, raw: bytes, fields: dict[str, Any], reason: str
) -> None:
    good = [{"text": text, "label": label, "whose": "me"} for text, label in texts(100)]
    if name.endswith(".csv"):
        raw += "".join(",".join(row.values()) + "\n" for row in good).encode()
    else:
        raw += "".join(json.dumps(row) + "\n" for row in good).encode()
    (tmp_path / name).write_bytes(raw)
    source = {"kind": "table", "path": str(tmp_path / name), "text": "text", **fields}
    dataset, told = made(tmp_path / "out", source)
    assert dataset.classes == ["a", "b"]
    assert [(row.row, row.reason) for row in dataset.rejected] == [(f"{name} row 1", reason)]
    assert told[-1] == {"warning": f"1 of 101 rows (0.99%) cannot be used: {name} row 1 {reason}"}


def test_a_folder_whose_name_is_not_utf8_makes_rejected_rows_that_can_be_written(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets", each=100)
    strange = folder / os.fsdecode(b"caf\xe9")
    strange.mkdir()
    (strange / "0.png").write_bytes(png(7))
    dataset, _ = made(tmp_path / "out", {"kind": "images", "path": str(folder)})
    dataset.save(dataset.folder)
    listed = [(row.row, row.reason) for row in Dataset.load(dataset.folder).rejected]
    assert listed == [("caf\\udce9/0.png", NOT_UTF8)]


def test_a_class_whose_files_cannot_be_read_is_refused(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets", each=100)
    (folder / "eel").mkdir()
    (folder / "eel" / "lost.png").symlink_to("nowhere.png")
    no_row = "the data set: class 'eel' has no usable row, wanted at least one; mend its rows or remove it"
    assert failure(tmp_path / "out", {"kind": "images", "path": str(folder)}) == no_row
    rows = [f"{label}/{number:03}.png,{label}" for label in ("cat", "dog") for number in range(100)]
    (folder / "t.csv").write_text("\n".join(["image,label", *rows, "eel/lost.png,eel"]))
    assert failure(tmp_path / "again", {"kind": "table", "path": str(folder / "t.csv"), "image": "image"}) == no_row


def test_at_most_a_thousand_rejected_rows_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    rows = texts(1_000) + [("", "a")] * 1_500
    dataset, _ = made(tmp_path / "out", csv_of(tmp_path / "t.csv", rows), max_rejected=0.9)
    assert (len(dataset.rejected), dataset.rejected_rows) == (1_000, 1_500)


def test_a_missing_file_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        made(tmp_path / "out", {"kind": "table", "path": "nowhere/t.csv", "text": "text"})
    assert str(caught.value) == "nowhere/t.csv: does not exist; mend the path or make the file first"
