from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.data.rows import Row
from jobs.data.sources.huggingface import HuggingFace
from tests.jobs.data.making import job_of, made, png
from tests.jobs.data.records import card, write_parquet
from tests.jobs.data.sources.test_table import taken

NEWS = ["World", "Sports"]


def source(path: Path | str, **fields: Any) -> HuggingFace:
    return HuggingFace.model_validate({"kind": "huggingface", "path": str(path), **fields})


def error(path: Path, **fields: Any) -> str:
    with pytest.raises(RequestError) as caught:
        list(source(path, **fields).rows())
    return str(caught.value)


def texts(count: int, name: str = "row") -> dict[str, Any]:
    return {"text": [f"{name} {n}" for n in range(count)], "label": [n % 2 for n in range(count)]}


@pytest.fixture
def news(tmp_path: Path) -> Path:
    """Two train files and one for test, and a card that names texts and classes."""
    for number in range(2):
        write_parquet(tmp_path / f"news/data/train-{number:05}-of-00002.parquet", texts(2, f"train {number}"))
    write_parquet(tmp_path / "news/data/test-00000-of-00001-0123456789abcdef.parquet", texts(1, "test"))
    (tmp_path / "news/README.md").write_text(card("string", NEWS))
    return tmp_path / "news"


def test_splits_come_from_names_and_classes_from_the_card(news: Path) -> None:
    found = source(news)
    assert found.modality() == "text"
    assert [(row.name, row.raw, row.label, row.split) for row in found.rows() if isinstance(row, Row)] == [
        ("train-00000-of-00002.parquet row 1", "train 0 0", "World", "train"),
        ("train-00000-of-00002.parquet row 2", "train 0 1", "Sports", "train"),
        ("train-00001-of-00002.parquet row 1", "train 1 0", "World", "train"),
        ("train-00001-of-00002.parquet row 2", "train 1 1", "Sports", "train"),
        ("test-00000-of-00001-0123456789abcdef.parquet row 1", "test 0", "World", "test"),
    ]


def test_images_are_structs_of_bytes_and_path(tmp_path: Path) -> None:
    images = [{"bytes": png(0), "path": "a.png"}, {"bytes": None, "path": "b.png"}, None]
    write_parquet(tmp_path / "data/train.parquet", {"image": images, "label": [0, 1, 1]})
    (tmp_path / "README.md").write_text(card("image", ["cat", "dog"]))
    assert source(tmp_path).modality() == "image"
    assert taken(source(tmp_path)) == [
        ("train.parquet row 1", png(0), "cat"),
        ("train.parquet row 2", None, "has no image"),
        ("train.parquet row 3", None, "has no image"),
    ]


def test_columns_given_win_over_the_card(news: Path) -> None:
    path = news / "data/train-00000-of-00002.parquet"
    write_parquet(path, {"body": ["b"], "topic": ["politics"], **texts(1)})
    path.with_name("train-00001-of-00002.parquet").unlink()
    path.rename(path.with_name("train.parquet"))
    found = source(news, text="body", label="topic", splits={"train": "train"})
    assert taken(found) == [("train.parquet row 1", "b", "politics")]


def test_splits_of_other_names_are_mapped(news: Path) -> None:
    (news / "data/test-00000-of-00001-0123456789abcdef.parquet").rename(news / "data/validation_matched.parquet")
    found = source(news, splits={"train": "train", "validation": "validation_matched"})
    assert [row.split for row in found.rows() if isinstance(row, Row)] == ["train"] * 4 + ["validation"]
    assert error(news, splits={"train": "train", "test": "dev"}) == (
        f"{news}/data: has no split 'dev', wanted one of train, validation_matched"
    )
    assert error(news, splits={"test": "train"}) == (
        f"{news}/data: has the splits train, validation_matched, wanted train among them; "
        "set splits: {train: …} to say which it is"
    )


def test_any_split_can_be_scored(news: Path) -> None:
    for file in (news / "data").glob("train-*"):
        file.unlink()
    wanted = f"{news}/data: has the splits test, wanted train among them; set splits: {{train: …}} to say which it is"
    assert error(news) == wanted
    for labelled, label in ((False, ""), (True, "World")):
        found = taken(source(news).to_score(labelled))
        assert found == [("test-00000-of-00001-0123456789abcdef.parquet row 1", "test 0", label)]
    (news / "data/test-00000-of-00001-0123456789abcdef.parquet").rename(news / "data/dev.parquet")
    with pytest.raises(RequestError) as caught:
        list(source(news).to_score(labelled=False).rows())
    assert str(caught.value) == (
        f"{news}/data: has the splits dev, wanted train, validation or test among them; "
        "set splits: {test: …} to say which is scored"
    )
    assert len(taken(source(news, splits={"test": "dev"}).to_score(labelled=False))) == 1


def test_numbers_that_name_no_class_spoil_their_rows(news: Path) -> None:
    write_parquet(news / "data/test.parquet", {"text": ["a", "b", "c", "d"], "label": [-1, 2, None, 1]})
    assert taken(source(news))[-4:] == [
        ("test.parquet row 1", None, "has no label"),
        ("test.parquet row 2", None, "has label 2, and 2 classes are named"),
        ("test.parquet row 3", None, "has no label"),
        ("test.parquet row 4", "d", "Sports"),
    ]


def test_a_missing_part_is_named(news: Path) -> None:
    (news / "data/train-00000-of-00002.parquet").unlink()
    assert error(news) == (f"{news}/data: lacks train-00000-of-00002.parquet, wanted all 2 files of the split")


def test_class_names_in_the_parquet_file_fill_in_for_the_card(tmp_path: Path) -> None:
    told = {"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}
    table = pa.table(texts(2)).replace_schema_metadata({"huggingface": json.dumps(told)})
    (tmp_path / "data").mkdir()
    parquet.write_table(table, tmp_path / "data/train.parquet")
    assert [label for _, _, label in taken(source(tmp_path, text="text"))] == ["no", "yes"]
    parquet.write_table(table.replace_schema_metadata({"huggingface": "["}), tmp_path / "data/train.parquet")
    assert [label for _, _, label in taken(source(tmp_path, text="text"))] == ["0", "1"]


def test_of_several_configurations_the_subset_or_the_default_counts(news: Path) -> None:
    (news / "data").rename(news / "plain")
    kinds = {"plain": "A, B", "default": "C, D"}
    infos = [
        f"- config_name: {name}\n  features:\n  - {{name: text, dtype: string}}\n"
        f"  - {{name: label, dtype: {{class_label: {{names: [{names}]}}}}}}"
        for name, names in kinds.items()
    ]
    (news / "README.md").write_text("---\ndataset_info:\n" + "\n".join(infos) + "\n---\n")
    assert {label for _, _, label in taken(source(news, subset="plain"))} == {"A", "B"}
    (news / "plain").rename(news / "other")
    assert {label for _, _, label in taken(source(news, subset="other"))} == {"C", "D"}


def test_a_folder_without_parquet_is_refused_and_nothing_in_it_is_run(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    ran = tmp_path / "ran"
    (tmp_path / "news.py").write_text(f"open({str(ran)!r}, 'w')")
    (tmp_path / "data/train.pkl").write_bytes(pickle.dumps(ran))
    assert error(tmp_path, text="text") == (
        f"{tmp_path}/data: holds no Parquet file, wanted files such as train-00000-of-00001.parquet; "
        "set subset, the folder of its Parquet files; loading scripts and pickles are never read"
    )
    assert not ran.exists()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("---\na: [\n---\n", "has a front matter that is not YAML (while parsing a flow node)"),
        ("---\n" + "[" * 20_000 + "\n---\n", "has a front matter that is not YAML (maximum recursion depth exceeded"),
        ("x" * (2**20 + 1), "is too large, wanted at most 1048576 bytes"),
        ("---\nx: !!python/object/apply:os.getcwd []\n---\n", "has a front matter that is not YAML (could not determ"),
        (card("string", ["a", "a"]), "does not name the classes of 'label', wanted a name for each number from 0"),
        (card("string", ["a", "b"]).replace("'1'", "'2'"), "does not name the classes of 'label', wanted a name for"),
        ("# nothing", "names no column of texts or images, wanted one; set text or image, the name of the column"),
        (card("image", ["a"]).replace("license: mit\n", ""), ""),
    ],
)
def test_a_card_that_cannot_be_used_is_refused(news: Path, text: str, found: str) -> None:
    (news / "README.md").write_text(text)
    if found:
        assert error(news).startswith(f"{news}/README.md: {found}")
    else:
        assert source(news).modality() == "image"


def test_several_columns_of_texts_or_labels_must_be_told_apart(news: Path) -> None:
    features = "[{name: question, dtype: string}, {name: answer, dtype: string}]"
    (news / "README.md").write_text(f"---\ndataset_info: {{features: {features}}}\n---\n")
    remedy = "wanted one; set text or image, the name of the column"
    assert error(news) == f"{news}/README.md: names the columns question, answer, {remedy}"
    features = "[{name: a, dtype: {class_label: {names: [x]}}}, {name: b, dtype: {class_label: {names: [x]}}}]"
    (news / "README.md").write_text(f"---\ndataset_info: {{features: {features}}}\n---\n")
    assert (
        error(news, text="text") == f"{news}/README.md: names the labels a, b, wanted one; set label, the name of one"
    )


def test_a_definition_is_told_when_the_card_does_not_tell_the_modality(news: Path) -> None:
    (news / "README.md").unlink()
    job = job_of({"kind": "huggingface", "path": str(news)}, image={"height": 8, "width": 8})
    told = (
        f"{news}/README.md: names no column of texts or images, wanted one; set text or image, the name of the column"
    )
    assert list(job.problems({})) == [(("source", "path"), told)]
    assert job.modality() is None
    missing = job_of({"kind": "huggingface", "path": "nowhere"})
    assert list(missing.problems({})) == [(("source", "path"), "nowhere does not exist")]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "a", "image": "b"}, "needs either text or image"),
        ({"path": "s3://bucket/news"}, "needs text or image: the card at a URI is read only when the job runs"),
        ({"subset": "../data"}, "leads out of the data set's folder"),
        ({"subset": "/data"}, "String should match pattern"),
        ({"splits": {}}, "Dictionary should have at least 1 item"),
    ],
)
def test_fields_that_do_not_agree_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HuggingFace.model_validate({"kind": "huggingface", "path": "news", **fields})


def test_a_data_set_is_made_from_an_object_store(s3_root: Folder, news: Path, tmp_path: Path) -> None:
    for file in news.rglob("*.*"):
        s3_root.write_bytes(str(file.relative_to(news)), file.read_bytes())
    dataset, _ = made(
        tmp_path / "out", {"kind": "huggingface", "path": str(s3_root), "text": "text"}, split={"validation": 0.3}
    )
    assert dataset.classes == ["Sports", "World"]
    assert sum(dataset.rows.values()) == 5


PICKLED = """
import sys
import ray.data  # registers an extension type whose values are pickles
from ray.data.extensions import ArrowPythonObjectType
from jobs.data.sources.huggingface import HuggingFace
try:
    list(HuggingFace.model_validate({"kind": "huggingface", "path": sys.argv[1], "text": "text"}).rows())
except Exception as error:
    print(error)
"""


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("name", ["arrow.py_extension_type", "ray.data.arrow_pickled_object"])
def test_a_pickle_in_an_extension_type_is_never_loaded(tmp_path: Path, name: str, nested: bool) -> None:
    class Sentinel:
        def __reduce__(self) -> Any:
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    pickled = pickle.dumps(Sentinel())
    marks = {"ARROW:extension:name": name, "ARROW:extension:metadata": pickled if "py_ext" in name else b""}
    field = pa.field("text", pa.large_binary(), metadata=marks)
    values: Any = pa.array([pickled], pa.large_binary())
    if nested:
        values, field = pa.StructArray.from_arrays([values], fields=[field]), pa.field("text", pa.struct([field]))
    table = pa.table([values, pa.array([0])], pa.schema([field, ("label", pa.int64())]))
    (tmp_path / "data").mkdir()
    parquet.write_table(table, tmp_path / "data/train.parquet")
    done = subprocess.run([sys.executable, "-c", PICKLED, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == (
        f"{tmp_path}/data/train.parquet: holds values of the extension type {name} in the column 'text', "
        "wanted plain values; write the column as text, numbers or bytes\n"
    ), done.stderr
    assert not (tmp_path / "ran").exists()
