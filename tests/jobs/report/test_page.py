"""The page: what each section says of artifacts on disk, that it stands alone, and that texts stay texts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from jobs.artifacts import Report
from jobs.report.blocks import Note
from jobs.report.page import write_page
from jobs.report.section import Artifacts, Part, section
from tests.jobs.data.making import made, pair_table
from tests.jobs.report.making import (
    a_dataset,
    a_model,
    a_report,
    an_endpoint,
    epochs,
    evaluation,
    everything,
    placed,
)
from tests.jobs.report.reading import Page

CLASSES = ["cat", "dog", "owl"]


def written(folders: Mapping[str, Folder], out: Path, title: str = "Pets") -> str:
    told: list[dict[str, Any]] = []
    write_page(title, folders, Folder(str(out)), told.append)
    assert told == [{"start": "writing the page", "artifacts": len(folders)}]
    return (out / "report.html").read_text()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Page:
    root = tmp_path_factory.mktemp("full")
    return Page(written(everything(root, CLASSES), root / "out"))


def test_has_every_section_in_order(full: Page) -> None:
    assert list(full.sections) == [
        "Comparison",
        "Definition",
        "Data",
        "Training",
        "Classes",
        "Precision and recall",
        "Calibration",
        "Classes against the first",
        "Promises",
        "Forms of the file",
        "Endpoint",
        "Provenance",
    ]
    links = [found["href"] for tag, found in full.elements if tag == "a"]
    assert links == [f"#{title.lower().replace(' ', '-')}" for title in full.sections]
    assert set(links) <= {f"#{value}" for value in full.attributes("id")}


def test_shows_what_was_asked_of_each_model(full: Page) -> None:
    assert full.tables["Steps and what they made"][1:] == [
        ["data", "Dataset", "96 images of 3 classes"],
        ["teacher", "Model", "resnet, 78,042 parameters, 15 bytes served"],
        ["small", "Model", "resnet → prune → quantize, 78,042 parameters, 15 bytes served"],
        ["verdict", "Report", "judged teacher, small"],
        ["live", "Endpoint", "classifier at http://127.0.0.1:8000/classifier"],
    ]
    asked = full.sections["Definition"]
    assert "model:\n  backbone:\n    kind: resnet\n    depth: 8\n" in asked
    assert "techniques:\n- kind: prune\n  sparsity: 0.5\n- kind: quantize\n  scheme: int8\n" in asked
    assert asked.count("strategy:\n  kind: data_parallel\n  workers: 2\n") == 2


def test_shows_rows_rejections_overlaps_and_digest(full: Page) -> None:
    assert full.tables["Rows by class and split"] == [
        ["Class", "train", "validation", "test", "all"],
        ["cat", "16", "8", "8", "32"],
        ["dog", "16", "8", "8", "32"],
        ["owl", "16", "8", "8", "32"],
        ["All", "48", "24", "24", "96"],
    ]
    assert full.tables["7 rows left out; 1 listed here"][1:] == [["b.png", "is cut short"]]
    assert full.tables["The same image in two splits"][1:] == [["train", "test", "3"]]
    assert "d1" * 32 in full.sections["Data"]


def test_lists_every_epoch_of_every_phase(full: Page) -> None:
    assert full.tables["Every epoch in numbers (2)"] == [
        ["Phase", "Epoch", "Loss", "Validation loss", "Accuracy", "Validation accuracy", "Seconds", "Rows/s"],
        ["train", "1", "1.0000", "1.1250", "75.00 %", "71.88 %", "1.5", "958"],
        ["train", "2", "0.5000", "0.6250", "87.50 %", "84.38 %", "1.5", "958"],
        ["train", "3", "0.2500", "0.3750", "93.75 %", "90.62 %", "1.5", "958"],
        ["prune", "1", "0.5000", "0.6250", "87.50 %", "84.38 %", "1.5", "958"],
        ["prune", "2", "0.2500", "0.3750", "93.75 %", "90.62 %", "1.5", "958"],
        ["prune", "1", "0.1250", "0.2500", "96.88 %", "93.75 %", "1.5", "958"],
    ]
    labels = [found["aria-label"] for tag, found in full.elements if tag == "svg"]
    assert labels == [
        "Loss and accuracy of teacher by epoch, through: train",
        "Loss and accuracy of small by epoch, through: train, prune, prune",
        "Precision against recall of teacher, one class against the rest: 2 of 3 classes",
        "Precision against recall of small, one class against the rest: 2 of 3 classes",
        "Reliability of teacher: accuracy of the rows answered with each probability",
        "Reliability of small: accuracy of the rows answered with each probability",
    ]


def test_shows_scores_and_confusion_by_class(full: Page) -> None:
    assert full.tables["Scores by class (2)"][1:] == [
        ["cat", "87.50 %", "87.50 %", "87.50 %", "8"],
        ["dog", "87.50 %", "87.50 %", "87.50 %", "8"],
        ["owl", "87.50 %", "87.50 %", "87.50 %", "8"],
    ]
    assert full.tables["Confusion matrix: true classes down, predicted classes across (2)"] == [
        ["", "cat", "dog", "owl"],
        ["cat", "7", "1", "·"],
        ["dog", "·", "7", "1"],
        ["owl", "1", "·", "7"],
    ]
    assert full.tables["Most often mistaken"] == [
        ["True", "Predicted", "Rows", "Of the class"],
        ["cat", "dog", "1", "12.5 %"],
        ["dog", "owl", "1", "12.5 %"],
        ["owl", "cat", "1", "12.5 %"],
    ]
    assert "Most often mistaken (2)" not in full.tables  # the teacher mistakes none


def test_shows_promises_kept_and_broken(full: Page) -> None:
    assert full.tables["Promises made for small"] == [
        ["Technique", "Layer", "What", "Promised", "Measured", "Kept"],
        ["prune", "stem", "sparsity", ">= 0.5", "0.5000", "kept"],
        ["quantize", "the whole model", "share in int8", "> 0.5", "0.400", "broken"],
    ]
    assert "small: 1 of 2 promises kept." in full.sections["Promises"]
    assert full.tables["Layers left out in small"] == [["Layer", "Why"], ["norm", "LayerNorm has no scheme"]]


def test_shows_the_forms_a_file_was_chosen_among(full: Page) -> None:
    assert full.tables["Files of small, on 24 validation rows, one thread, row by row"][1:] == [
        ["float32", "87.50 %", "100.00 %", "400", "200", "0.392", "138", ""],
        ["int8", "75.00 %", "87.50 %", "100", "50", "0.392", "138", "served"],
    ]
    kept = "small is also kept as onnx in model.onnx, not quantized: on 64 rows its logits differ by 2e-05 at most"
    assert f"{kept} (experimental)." in full.sections["Forms of the file"]


def test_names_the_models_an_endpoint_serves_the_file_of(full: Page) -> None:
    assert "Served file of" in full.sections["Endpoint"]
    assert "teacher, small" in full.sections["Endpoint"]
    assert '"label": "cat"' in full.sections["Endpoint"]


def test_shows_versions_and_files(full: Page) -> None:
    assert ["numpy", metadata.version("numpy")] in full.tables["Versions"]
    sha256 = "18d2d4978476d8c09eeff777b1672185cfc6da3c76ad8824756235e184b8eb5f"
    assert ["small", "model.tflite", sha256, "15"] in full.tables["Served files"]
    assert "UTC" in full.sections["Provenance"]


def test_stands_alone(full: Page) -> None:
    assert not full.tags() & {"script", "link", "iframe", "object", "embed", "img", "base", "form"}
    assert full.attributes("src") == []
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in full.attributes("href"))
    loading = [value for _, found in full.elements for value in found.values() if "://" in value or "//" in value[:2]]
    assert [value for value in loading if not value.startswith("data:")] == []
    policies = [
        found["content"] for tag, found in full.elements if found.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


HOSTILE = "<script>alert(1)</script>"


@pytest.mark.parametrize("count", [3, 30], ids=["matrix as a table", "matrix as a picture"])
def test_texts_of_users_stay_texts(tmp_path: Path, count: int) -> None:
    names = [HOSTILE, '"><img src=x onerror=alert(1)>', "$x_{$ \x0b &amp;", *(f"class {n}" for n in range(3, count))]
    folders = everything(tmp_path, names)
    folders["more"] = a_model(tmp_path, "more", names, history=epochs(HOSTILE, [1.0]))
    page = Page(written(folders, tmp_path / "out", title=f"</title>{HOSTILE}"))
    assert not page.tags() & {"script", "img"}
    assert not [name for _, found in page.elements for name in found if name.startswith("on")]
    assert [row[0] for row in page.tables["Scores by class"][1:]] == names
    assert HOSTILE in page.sections["Training"]
    assert '"label": "<script>alert(1)</script>"' in page.sections["Endpoint"]


def test_draws_a_hundred_classes_as_a_picture(tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(100)]
    true = [row % 100 for row in range(200)]
    html = written({"verdict": a_report(tmp_path, {"a": evaluation(names, true, true, 9)})}, tmp_path / "out")
    page = Page(html)
    assert [tag for tag, _ in page.elements].count("image") == 1
    assert all(page.sections["Classes"].count(f"class {number}\n") == 3 for number in (10, 99))
    assert "details" in page.tags()  # a hundred rows of scores are folded away
    assert len(html) < 500_000


def test_data_alone(tmp_path: Path) -> None:
    page = Page(written({"data": a_dataset(tmp_path, ["a", "b"], {"train": [0, 1, 1]})}, tmp_path / "out"))
    assert list(page.sections) == ["Definition", "Data", "Provenance"]
    assert page.tables["Rows by class and split"][-1] == ["All", "3", "3"]
    assert "Every row of the source could be read." in page.sections["Data"]
    assert "No image is in two splits." in page.sections["Data"]


def test_rows_of_an_image_and_a_text_are_pairs(tmp_path: Path) -> None:
    source = {"kind": "table", "path": str(pair_table(tmp_path / "t.parquet", 80)), "image": "image", "text": "text"}
    dataset, _ = made(tmp_path / "data", source)
    dataset.save(dataset.folder)
    page = Page(written({"data": dataset.folder}, tmp_path / "out"))
    assert "80 pairs of 4 classes" in page.sections["Definition"]
    assert "image and text" in page.sections["Data"]
    assert "No pair is in two splits." in page.sections["Data"]


def test_an_untrained_model_alone(tmp_path: Path) -> None:
    page = Page(written({"m": a_model(tmp_path, "m", ["a", "b"])}, tmp_path / "out"))
    assert list(page.sections) == ["Definition", "Provenance"]


def test_a_report_of_one_model_alone(tmp_path: Path) -> None:
    found = evaluation(["a", "b"], [0, 1], [0, 1], 10)
    page = Page(written({"verdict": a_report(tmp_path, {"m": found})}, tmp_path / "out"))
    assert list(page.sections) == ["Comparison", "Definition", "Classes", "Provenance"]


def test_a_report_that_judged_nothing_alone(tmp_path: Path) -> None:
    page = Page(written({"page": placed(Report(title="Earlier page"), tmp_path, "page")}, tmp_path / "out"))
    assert list(page.sections) == ["Definition", "Provenance"]
    assert page.tables["Steps and what they made"][1:] == [["page", "Report", "Earlier page"]]


def test_a_report_that_measured_only_some_things(tmp_path: Path) -> None:
    page = Page(written({"v": a_report(tmp_path, {"m": {"accuracy": 0.5}})}, tmp_path / "out"))
    assert page.tables["Models judged by v"][1] == ["m", "50.00 %", "–", "0.00", *["–"] * 10]


def test_an_endpoint_alone(tmp_path: Path) -> None:
    page = Page(written({"live": an_endpoint(tmp_path, "cat")}, tmp_path / "out"))
    assert list(page.sections) == ["Definition", "Endpoint", "Provenance"]
    assert "no model on this page" in page.sections["Endpoint"]


@section(place=15)
def toys(artifacts: Artifacts) -> Part | None:
    return Part("Toys of one's own", [Note("1 < 2")]) if "toy" in artifacts else None


def test_a_job_brings_its_own_section(tmp_path: Path) -> None:
    page = Page(written({"toy": a_report(tmp_path, {"m": {"accuracy": 0.5}})}, tmp_path / "out"))
    assert list(page.sections) == ["Comparison", "Toys of one's own", "Definition", "Provenance"]
    assert "1 < 2" in page.sections["Toys of one's own"]


def test_long_histories_are_thinned(tmp_path: Path) -> None:
    model = a_model(tmp_path, "m", ["a", "b"], history=epochs("train", [1.0] * 1_000))
    rows = Page(written({"m": model}, tmp_path / "out")).tables["One epoch in 5 in numbers"]
    assert len(rows) == 201
    assert rows[-1][1] == "1,000"


def test_a_class_named_by_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    found = evaluation(["a\udce9", "b"], [0, 1], [0, 1], 10)
    folder = Folder(str(tmp_path / "v"))
    document = {"format": 1, "type": "Report", "facts": {"title": "v", "evaluations": {"m": found}}}
    folder.write_bytes("artifact.json", json.dumps(document).encode())
    assert "a&#56553;" in written({"v": folder}, tmp_path / "out")


def test_charts_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(30)]
    folders = everything(tmp_path, names)
    first, second = (written(folders, tmp_path / out) for out in ("one", "two"))
    assert first.split('id="provenance"')[0] == second.split('id="provenance"')[0]


def test_a_private_training_says_what_it_spent_and_keeps_the_rest_to_itself(tmp_path: Path) -> None:
    history = [
        epoch.model_copy(update={"loss": math.nan, "accuracy": math.nan, "facts": {"epsilon": spent, "delta": 1e-5}})
        for epoch, spent in zip(epochs("train", [1.0, 1.0]), (2.5, 3.25), strict=True)
    ]
    page = Page(written({"m": a_model(tmp_path, "m", ["a", "b"], history=history)}, tmp_path / "out"))
    words = "After 2 rounds the weights are differentially private of any one client, with ε = 3.250 at δ = 1e-05"
    assert words in page.sections["Training"]
    assert [row[2] for row in page.tables["Every epoch in numbers"]] == ["Loss", "private", "private"]
