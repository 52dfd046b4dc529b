from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from cluster.errors import StepError
from jobs.artifacts import Dataset
from jobs.data.encode import encoded
from jobs.data.preparing import preparer, preprocess_of
from jobs.data.preprocess import ImagePixels, WordPieces
from jobs.data.shards import read_texts
from jobs.data.text import fit_word_pieces
from tests.jobs.data.making import made

ENCODE = """
import sys
from pathlib import Path
from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.data.encode import encoded
from jobs.data.preprocess import WordPieces
dataset = Dataset.load(Folder.parse(sys.argv[1]))
spec = WordPieces.model_validate_json(sys.argv[3])
print(int(encoded(dataset, spec, "train", Path(sys.argv[2])).x.sum()))
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the node's cache of token ids inside the test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def texts(tmp_path: Path) -> Dataset:
    dataset, _ = made(tmp_path / "texts", {"kind": "docstrings", "packages": ["email", "json", "http"], "limit": 60})
    return dataset.save(dataset.folder)


@pytest.fixture
def word_pieces(texts: Dataset, tmp_path: Path) -> WordPieces:
    return fit_word_pieces(texts, tmp_path, 400, 12)


def test_token_ids_are_those_of_the_preparer(texts: Dataset, word_pieces: WordPieces, tmp_path: Path) -> None:
    rows = encoded(texts, word_pieces, "train", tmp_path)
    raw = read_texts(texts.folder.path / "train.arrow")
    assert rows.x.dtype == np.int32
    assert np.array_equal(rows.x, preparer(word_pieces, tmp_path)(list(raw)))
    assert np.array_equal(rows.y, raw.y)
    assert rows.x.max() < word_pieces.vocabulary <= 400


def test_token_ids_are_made_once(texts: Dataset, word_pieces: WordPieces, tmp_path: Path) -> None:
    first = encoded(texts, word_pieces, "test", tmp_path)
    (texts.folder.path / "test.arrow").unlink()
    again = encoded(texts, word_pieces, "test", tmp_path)
    assert np.array_equal(first.x, again.x)


def test_another_length_is_encoded_afresh(texts: Dataset, word_pieces: WordPieces, tmp_path: Path) -> None:
    longer = word_pieces.model_copy(update={"length": 20})
    assert encoded(texts, word_pieces, "test", tmp_path).x.shape[1] == 12
    assert encoded(texts, longer, "test", tmp_path).x.shape[1] == 20


def test_a_frame_is_encoded_afresh(texts: Dataset, tmp_path: Path) -> None:
    framed = fit_word_pieces(texts, tmp_path, 400, 12, framed=True)
    bare = framed.model_copy(update={"framed": False})
    assert (encoded(texts, framed, "test", tmp_path).x[:, 0] == 2).all()
    assert (encoded(texts, bare, "test", tmp_path).x[:, 0] != 2).all()


def test_processes_at_once_share_one_file(texts: Dataset, word_pieces: WordPieces, tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENCODE, str(texts.folder), str(tmp_path), word_pieces.model_dump_json()]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = {process.communicate()[0] for process in running}
    assert answers == {f"{int(encoded(texts, word_pieces, 'train', tmp_path).x.sum())}\n"}
    (cache,) = tmp_path.glob("espalier-*/encoded")
    assert cache.stat().st_mode & 0o777 == 0o700
    assert sorted(path.suffix for path in cache.iterdir()) == [".arrow", ".lock"]


def test_images_are_the_shard_itself(tmp_path: Path) -> None:
    dataset, _ = made(tmp_path / "digits", {"kind": "digits"})
    rows = encoded(dataset, preprocess_of(dataset), "test")
    assert rows.x.shape == (178, 8, 8, 1)
    assert not rows.x.flags.owndata


def test_a_model_for_other_rows_is_refused(texts: Dataset, word_pieces: WordPieces, tmp_path: Path) -> None:
    digits, _ = made(tmp_path / "digits", {"kind": "digits"})
    wide = ImagePixels(height=32, width=32, channels=3)
    with pytest.raises(StepError, match=r"^the model: reads images of 32x32x3, wanted 8x8x1$"):
        encoded(digits, wide, "train")
    with pytest.raises(StepError, match=r"^the data set: holds texts, wanted images$"):
        encoded(texts, wide, "train")
    with pytest.raises(StepError, match=r"^the model: reads texts, wanted images, which the data set holds$"):
        encoded(digits, word_pieces, "train", tmp_path)
    with pytest.raises(StepError, match=r"^the data set: has no other split, wanted one of train, validation, test$"):
        encoded(digits, preprocess_of(digits), "other")


def test_word_pieces_want_texts(tmp_path: Path) -> None:
    digits, _ = made(tmp_path / "digits", {"kind": "digits"})
    with pytest.raises(StepError, match=r"^word pieces: the data set holds images, wanted texts; choose another"):
        fit_word_pieces(digits, tmp_path, 400, 12)
