from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cluster.errors import RequestError
from cluster.folder import Folder
from cluster.session import cpus_here
from jobs.artifacts import Dataset
from jobs.job import Output
from jobs.kinds.dataset import WORTH_SPREADING, DatasetJob, fill_dataset
from jobs.spec import counted
from tests.jobs.data.making import image_folder, job_of

HEAVY = ("tensorflow", "ray", "pyarrow", "numpy", "PIL", "sklearn", "tokenizers")


def test_defaults_are_a_tenth_for_validation_and_a_tenth_for_test() -> None:
    job = job_of({"kind": "digits"})
    assert (job.split.validation, job.split.test, job.max_rejected) == (0.1, 0.1, 0.01)
    assert job.modality() == "image"


def test_missing_files_are_problems_of_the_definition(tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("text,label\n")
    paths = {"train": str(tmp_path / "there.csv"), "test": ["nowhere/t.csv", "s3://bucket/t.csv"]}
    job = job_of({"kind": "table", "path": paths, "text": "text"})
    assert list(job.problems({})) == [(("source", "path"), "nowhere/t.csv does not exist")]


def test_a_missing_file_is_refused_before_anything_starts(tmp_path: Path) -> None:
    job = job_of({"kind": "images", "path": "nowhere/pets"})
    place = Folder.parse(str(tmp_path / "out"))
    message = r"^nowhere/pets: does not exist; mend the path or make the file first$"
    with pytest.raises(RequestError, match=message):
        job.digest(str)
    with pytest.raises(RequestError, match=message):
        job.run({}, Output("data", place, place, lambda event: None))
    assert not place.exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"split": {"validation": 0.5, "test": 0.5}}, "validation and test leave no rows to train on"),
        ({"split": {"validation": 0.0}}, "Input should be greater than 0"),
        ({"max_rejected": 1.5}, "Input should be less than or equal to 1"),
        ({"image": {"height": 8, "width": 0}}, "Input should be greater than or equal to 1"),
        ({"source": {"kind": "docstrings"}, "image": {"height": 8, "width": 8}}, "has an image size, but its source"),
        ({"source": {"kind": "docstrings", "packages": ["../x"]}}, "String should match pattern"),
    ],
)
def test_fields_out_of_bounds_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DatasetJob.model_validate({"job": "dataset", "source": {"kind": "digits"}, **fields})
    assert caught.value.errors()[0]["msg"].startswith(message)


def test_the_work_fills_a_folder_and_its_facts_can_be_saved(tmp_path: Path) -> None:
    folder = Folder.parse(str(tmp_path / "out"))
    facts = fill_dataset(job_of({"kind": "digits"}), folder, False, lambda event: None)
    facts.save(folder)
    assert sorted(folder.files()) == ["artifact.json", "test.arrow", "train.arrow", "validation.arrow"]
    assert Dataset.load(folder).rows == facts.rows


def test_all_nodes_prepare_when_that_is_worth_it_or_asked_for(tmp_path: Path) -> None:
    image_folder(tmp_path / "pets")
    pets = {"kind": "images", "path": str(tmp_path / "pets")}
    assert not job_of(pets).is_spread()
    assert job_of(pets, spread=True).is_spread()
    with (tmp_path / "pets" / "cat" / "large.png").open("wb") as file:
        file.truncate(WORTH_SPREADING)  # a hole, which takes no room
    assert job_of(pets).is_spread() == (cpus_here() > 1)
    assert not job_of(pets, spread=False).is_spread()
    assert not job_of({"kind": "docstrings"}).is_spread()


def test_where_rows_are_prepared_is_no_part_of_what_was_asked() -> None:
    assert counted(job_of({"kind": "digits"}, spread=True)) == counted(job_of({"kind": "digits"}))


def test_a_failure_on_an_object_store_uploads_nothing(s3_root: Folder, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\na,x\n")
    with pytest.raises(Exception, match="wanted"):
        fill_dataset(job_of({"kind": "table", "path": str(tmp_path / "t.csv"), "text": "text"}), s3_root, False, print)
    assert s3_root.files() == {}


def test_importing_and_digesting_loads_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\n")
    code = f"""
import sys
from jobs.kinds.dataset import DatasetJob
for source in ({{"kind": "digits"}}, {{"kind": "docstrings"}},
               {{"kind": "table", "path": {str(tmp_path / "t.csv")!r}, "text": "text"}},
               {{"kind": "images", "path": {str(tmp_path)!r}}}):
    job = DatasetJob.model_validate({{"job": "dataset", "source": source}})
    assert job.digest(str) and not list(job.problems({{}}))
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
