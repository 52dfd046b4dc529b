"""Rows of an image and a text: from a table to the batch a model reads, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace

from jobs.artifacts import Dataset
from jobs.data.augment import Augment
from jobs.data.encode import encoded
from jobs.data.images import decode
from jobs.data.preparing import preparer, preprocess_of
from jobs.data.preprocess import ImageAndText, Preprocess, WordPieces
from jobs.data.rows import BadRow, Pair, Row
from jobs.data.shards import read, read_texts
from jobs.data.sources.table import Table
from jobs.data.text import fit_word_pieces
from jobs.product import golden_of
from jobs.recipe import TrainRecipe
from tests.jobs.data.making import jpeg, made, png


def table(path: Path, rows: list[tuple[bytes, str, str]]) -> dict[str, Any]:
    images, texts, labels = zip(*rows, strict=True)
    parquet.write_table(pa.table({"image": pa.array(images, pa.binary()), "text": texts, "label": labels}), path)
    return {"kind": "table", "path": str(path), "image": "image", "text": "text"}


def rows(count: int, name: str = "row") -> list[tuple[bytes, str, str]]:
    return [(png(n), f"{name} {n}", "ab"[n % 2]) for n in range(count)]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return made(tmp_path / "out", table(tmp_path / "t.parquet", rows(100)))[0]


def test_a_table_of_both_columns_yields_pairs(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "t.csv").write_text("image,text,label\na.png,one,x\n,two,x\nb.png,three,y\n")
    source = Table(path=str(tmp_path / "t.csv"), image="image", text="text")
    assert source.modality() == "image_text"
    found = [row.raw if isinstance(row, Row) else row.reason for row in source.rows()]
    assert found == [
        Pair(png(1), "one"),
        "has no image",
        "names 'b.png', which cannot be read (No such file or directory)",
    ]


def test_json_lines_hold_pairs_too(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "t.jsonl").write_text('{"image": "a.png", "text": "one", "label": 1}\n{"image": "a.png", "label": 1}\n')
    source = Table(path=str(tmp_path / "t.jsonl"), image="image", text="text")
    found = [row.raw if isinstance(row, Row) else row.reason for row in source.rows()]
    assert found == [Pair(png(1), "one"), "has no text"]


def test_images_and_texts_lie_beside_each_other_row_for_row(dataset: Dataset) -> None:
    assert (dataset.modality, dataset.image) == ("image_text", [16, 12, 3])
    assert dataset.rows == {"train": 80, "validation": 10, "test": 10}
    seen = set()
    for split in dataset.rows:
        images = read(dataset.folder.path / f"{split}.arrow")
        texts = read_texts(dataset.folder.path / f"{split}.text.arrow")
        assert np.array_equal(images.y, texts.y)
        for image, text, label in zip(images.x, texts, images.y, strict=True):
            number = int(text.split()[1])
            assert label == number % 2
            assert np.array_equal(image, decode(png(number), preprocess_of(dataset)))
            seen.add(number)
    assert seen == set(range(100))


def test_rows_are_gathered_as_the_preparer_prepares_them(dataset: Dataset, tmp_path: Path) -> None:
    preprocess = ImageAndText(image=preprocess_of(dataset), text=fit_word_pieces(dataset, tmp_path, 200, 6))
    assert Preprocess.choose(preprocess.model_dump(mode="json")) == preprocess
    found = encoded(dataset, preprocess, "train", tmp_path)
    x, y = found.gather(np.array([5, 0, 79]))
    assert {name: (part.dtype.name, part.shape) for name, part in x.items()} == {
        "image": ("uint8", (3, 16, 12, 3)),
        "tokens": ("int32", (3, 6)),
    }
    texts = list(read_texts(dataset.folder.path / "train.text.arrow"))
    pairs = [Pair(png(int(texts[n].split()[1])), texts[n]) for n in (5, 0, 79)]
    prepared = preparer(preprocess, tmp_path)(pairs)
    assert all(np.array_equal(prepared[name], x[name]) for name in ("image", "tokens"))
    assert y.tolist() == found.y[[5, 0, 79]].tolist()


def test_a_pair_without_a_usable_part_is_rejected(tmp_path: Path) -> None:
    bad = [(jpeg(0, 64, 64)[:900], "fine", "a"), (png(1), " \0 ", "a"), (b"", "fine", "b")]
    dataset, _ = made(tmp_path / "out", table(tmp_path / "t.parquet", rows(100) + bad), max_rejected=0.1)
    assert [(row.row, row.reason) for row in dataset.rejected] == [
        ("t.parquet row 101", "has an image that is truncated or corrupt"),
        ("t.parquet row 102", "has a text that is empty"),
        ("t.parquet row 103", "has an image that is empty"),
    ]
    preprocess = ImageAndText(image=preprocess_of(dataset), text=fit_word_pieces(dataset, tmp_path, 200, 6))
    prepare = preparer(preprocess, tmp_path)
    for (image, text, _), row in zip(bad, dataset.rejected, strict=True):
        with pytest.raises(BadRow, match=f"^{row.reason}$"):  # the replica says what the data set said
            prepare([Pair(image, text)])


def test_only_the_same_image_with_the_same_text_is_in_two_splits(tmp_path: Path) -> None:
    table(tmp_path / "train.parquet", rows(100))
    again = [(png(0), "row 0", "a"), (png(1), "another text", "b"), (png(1_000), "row 2", "a")]
    source = table(tmp_path / "test.parquet", again)
    source["path"] = {split: str(tmp_path / f"{split}.parquet") for split in ("train", "test")}
    dataset, _ = made(tmp_path / "out", source, split={"validation": 0.1, "seed": 3})
    assert sum(overlap.rows for overlap in dataset.overlaps if overlap.second == "test") == 1


def test_the_digest_follows_either_part(tmp_path: Path) -> None:
    first, *rest = rows(40)
    digests = set()
    for number, row in enumerate([first, (png(99), *first[1:]), (first[0], "other", "a")]):
        digests.add(made(tmp_path / str(number), table(tmp_path / "t.parquet", [row, *rest]))[0].digest)
    assert len(digests) == 3


def test_the_rows_a_model_is_tried_on_are_pairs(dataset: Dataset) -> None:
    texts = list(read_texts(dataset.folder.path / "validation.text.arrow"))[:4]
    golden = golden_of(dataset)
    assert [pair.text for pair in golden if isinstance(pair, Pair)] == texts
    for pair in golden:
        assert isinstance(pair, Pair)
        pixels = decode(png(int(pair.text.split()[1])), preprocess_of(dataset))
        assert np.array_equal(decode(pair.image, preprocess_of(dataset)), pixels)


@pytest.mark.training
def test_texts_of_pairs_are_augmented_as_their_tokenizer_says(dataset: Dataset, tmp_path: Path) -> None:
    from jobs.training import feeds_of  # imports TensorFlow

    pieces = {"[PAD]": 0, "row": 1, "[UNK]": 2}
    tokenizer = Tokenizer(WordPiece(pieces, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens([AddedToken("[PAD]", special=True)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    preprocess = ImageAndText(image=preprocess_of(dataset), text=WordPieces(length=3, vocabulary=3))
    recipe = TrainRecipe(batch_size=80, augment=[Augment.choose({"kind": "token_dropout", "share": 0.999})])
    train, validation = feeds_of(dataset, preprocess, tmp_path, recipe)
    assert validation.read(0, 0, 1).x["tokens"].tolist() == [[1, 2, 0]] * 10
    tokens = train.read(0, 0, 1).x["tokens"]
    assert (tokens[:, 2] == 0).all(), "padding is no word"
    assert (tokens[:, :2] == 2).mean() > 0.95
