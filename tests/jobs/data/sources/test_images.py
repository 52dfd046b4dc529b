from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.errors import RequestError, StepError
from cluster.folder import Folder
from jobs.data.rows import Row
from jobs.data.sources.images import Images
from pipelines.digests import Memo
from tests.jobs.data.making import image_folder, png


def taken(path: Any, **fields: Any) -> list[tuple[str, str | None, str]]:
    """Return (name, split, label) of rows, and (name, None, reason) of rejected ones."""
    source = Images.model_validate({"kind": "images", "path": str(path), **fields})
    return [
        (row.name, row.split, row.label) if isinstance(row, Row) else (row.row, None, row.reason)
        for row in source.rows()
    ]


def test_the_folder_names_the_class(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets", each=1)
    (folder / "dog" / "old").mkdir()
    (folder / "dog" / "old" / "b.JPG").write_bytes(png(7))
    (folder / "dog" / ".DS_Store").write_bytes(b"")
    assert taken(folder) == [("cat/000.png", None, "cat"), ("dog/000.png", None, "dog"), ("dog/old/b.JPG", None, "dog")]


def test_other_files_are_rejected_not_dropped(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets", each=1)
    (folder / "readme.txt").write_text("pets")
    (folder / "cat" / "notes.txt").write_text("purrs")
    assert taken(folder) == [
        ("readme.txt", None, "lies outside the class folders"),
        ("cat/000.png", None, "cat"),
        ("cat/notes.txt", None, "is not one of .jpg, .jpeg, .png, .bmp, .webp, .gif"),
        ("dog/000.png", None, "dog"),
    ]


def test_splits_are_the_first_folders(tmp_path: Path) -> None:
    image_folder(tmp_path / "pets" / "train", each=1)
    image_folder(tmp_path / "pets" / "test", each=1)
    assert taken(tmp_path / "pets", splits=True) == [
        ("test/cat/000.png", "test", "cat"),
        ("test/dog/000.png", "test", "dog"),
        ("train/cat/000.png", "train", "cat"),
        ("train/dog/000.png", "train", "dog"),
    ]


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets", each=1)
    (folder / "eel").mkdir()
    with pytest.raises(StepError) as caught:
        taken(folder)
    assert str(caught.value) == (
        f"{folder}/eel: the class holds no image, wanted at least one; add images or remove the folder"
    )


def test_a_folder_without_classes_and_strange_splits_are_named(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    with pytest.raises(StepError) as caught:
        taken(tmp_path / "flat")
    assert str(caught.value) == f"{tmp_path}/flat: holds no folder, wanted one folder of images per class"
    folder = image_folder(tmp_path / "pets", each=1)
    with pytest.raises(StepError) as caught:
        taken(folder, splits=True)
    assert str(caught.value) == (
        f"{folder}: holds the folders cat, dog, wanted train, and perhaps validation and test; or leave splits out"
    )


def test_a_link_to_a_folder_above_is_refused(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets", each=1)
    (folder / "cat" / "loop").symlink_to("../cat")
    with pytest.raises(RequestError) as caught:
        taken(folder)
    assert str(caught.value) == (
        f"{folder}/cat/loop: is a link to {folder}/cat, which it lies in, wanted a tree of folders; remove the link"
    )
    (folder / "cat" / "loop").unlink()
    (folder / "cat" / "more").symlink_to("../dog")
    assert [name for name, _, label in taken(folder) if label == "cat"] == ["cat/000.png", "cat/more/000.png"]


def test_the_digest_follows_classes_that_are_links(tmp_path: Path) -> None:
    image_folder(tmp_path / "elsewhere", ("cat", "dog", "eel"), each=1)
    (folder := tmp_path / "pets").mkdir()
    for name in ("cat", "dog"):
        (folder / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "elsewhere" / "dog" / "more").symlink_to("../eel")
    memo = Memo(Folder.parse(str(tmp_path / "store"))).digest
    source = Images(path=str(folder))
    found: set[str] = set()

    def differs() -> bool:
        before = len(found)
        found.add(source.digest(memo))
        return len(found) > before

    assert differs()
    assert not differs()
    for file in ("cat/000.png", "eel/000.png"):
        (tmp_path / "elsewhere" / file).write_bytes(png(99))
        assert differs(), file
    (folder / "cat").rename(folder / "lion")
    assert differs()


def test_a_split_is_scored_without_one_to_train_on(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets" / "test", each=1).parent
    source = Images(path=str(folder), splits=True)
    with pytest.raises(StepError) as caught:
        list(source.rows())
    assert str(caught.value) == (
        f"{folder}: holds the folders test, wanted train, and perhaps validation and test; or leave splits out"
    )
    scored = [row.label for row in source.to_score(labelled=True).rows() if isinstance(row, Row)]
    assert scored == ["cat", "dog"]


def test_a_missing_folder_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        taken("nowhere/pets")
    assert str(caught.value) == "nowhere/pets: does not exist; mend the path or make the file first"


def test_images_are_read_from_an_object_store(s3_root: Folder) -> None:
    for name in ("cat/a.png", "dog/old/b.png"):
        s3_root.write_bytes(f"pets/{name}", png(1))
    assert taken(s3_root.child("pets")) == [("cat/a.png", None, "cat"), ("dog/old/b.png", None, "dog")]
