from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from jobs.artifacts import Report
from jobs.kinds.train import Train
from pipelines.find import artifact_at
from pipelines.load import load
from tests.pipelines.commands.conftest import Espalier

ROOT = Path(__file__).parents[4]


def images(folder: Path, **classes: int) -> Path:
    """Make a folder of class folders with so many images each: dark ones, and bright ones."""
    for shade, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (12, 12), 40 + 150 * shade + number % 40).save(folder / name / f"{number}.png")
    return folder


def table(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def texts(path: Path, count: int = 60) -> Path:
    rows = [[str(n), f"the {('oak', 'mast')[n % 2]} and number {n}", ("trees", "ships")[n % 2]] for n in range(count)]
    return table(path, ["id", "words", "kind"], rows)


def test_a_folder_of_images(espalier: Espalier, tmp_path: Path) -> None:
    images(tmp_path / "My Pets", cats=12, dogs=40)
    said = espalier("init", "image", "My Pets")
    assert said.lines == [
        "1 sizes of images: brought to 12×12, 1 channels",
        "52 rows in 2 classes: dogs 40, cats 12",
        "the commonest class has 3.3 times the rows of the rarest: classes weigh",
        "my-pets.yaml: 5 steps; to run it: espalier run my-pets.yaml",
    ]
    pipeline = load(tmp_path / "my-pets.yaml")
    assert pipeline.name == "my-pets"
    teacher = pipeline.steps["teacher"]
    assert isinstance(teacher, Train)
    assert (teacher.class_weights, teacher.batch_size, teacher.epochs) == ("balanced", 32, 40)
    assert espalier("validate", "my-pets.yaml").code == 0


def test_a_definition_that_is_there_stays(espalier: Espalier, tmp_path: Path) -> None:
    images(tmp_path / "pets", cats=3, dogs=3)
    (tmp_path / "pets.yaml").write_text("mine")
    said = espalier("init", "image", "pets")
    assert said.code == 2
    assert said.err == "error: pets.yaml: is there already; name another with --out, or write over it: --force\n"
    assert (tmp_path / "pets.yaml").read_text() == "mine"
    assert espalier("init", "image", "pets", "--force").code == 0


def test_a_table_of_texts(espalier: Espalier, tmp_path: Path) -> None:
    texts(tmp_path / "data/texts.csv")
    said = espalier("init", "text", "data")
    assert said.lines[:2] == ["labels in 'kind', texts in 'words'", "60 rows in 2 classes: ships 30, trees 30"]
    assert "class_weights" not in (tmp_path / "data.yaml").read_text()
    assert espalier("validate", "data.yaml").code == 0
    assert espalier("plan", "data.yaml").code == 0


def test_columns_may_be_named(espalier: Espalier, tmp_path: Path) -> None:
    texts(tmp_path / "texts.csv")
    said = espalier("init", "text", "texts.csv", "--label", "words", "--text", "kind")
    assert said.lines[0] == "labels in 'words', texts in 'kind'"
    wrong = espalier("init", "text", "texts.csv", "--label", "no", "--force")
    assert (wrong.code, wrong.err) == (2, "error: texts.csv: has no column 'no', wanted one of id, words, kind\n")


def test_a_table_of_images_with_texts(espalier: Espalier, tmp_path: Path) -> None:
    images(tmp_path / "shop", red=10, blue=10)
    rows = [[f"{c}/{n}.png", f"a {c} thing, number {n}", c] for n in range(10) for c in ("red", "blue")]
    table(tmp_path / "shop/list.csv", ["file", "words", "label"], rows)
    said = espalier("init", "fusion", "shop")
    assert said.lines[0] == "labels in 'label', texts in 'words', images in 'file'"
    assert "image: {height: 12, width: 12, channels: 1}" in (tmp_path / "shop.yaml").read_text()
    assert espalier("validate", "shop.yaml").code == 0


@pytest.mark.parametrize(
    ("make", "text"),
    [
        ("a/one.png", "data: holds 1 folders, wanted one folder of images for each class"),
        ("a/one.png b/notes.txt", "data/b: holds no image, wanted at least one of .jpg, .jpeg, .png"),
    ],
)
def test_what_is_no_folder_of_classes(espalier: Espalier, tmp_path: Path, make: str, text: str) -> None:
    for name in make.split():
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).touch()
    said = espalier("init", "image", "data")
    assert said.code == 2
    assert said.err.startswith(f"error: {text}")
    assert not (tmp_path / "data.yaml").exists()


def test_names_that_yaml_would_take_for_something_else(espalier: Espalier, tmp_path: Path) -> None:
    rows = [[("yes: {no}", "b #c")[n % 2], f"some text {n}"] for n in range(40)]
    table(tmp_path / "odd.csv", ["on: #1", "null"], rows)
    assert espalier("init", "text", "odd.csv").code == 0
    assert espalier("validate", "odd.yaml").code == 0


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_what_was_written_runs(espalier: Espalier, tmp_path: Path) -> None:
    images(tmp_path / "shades", dark=30, bright=60)
    assert espalier("init", "image", "shades").code == 0
    command = [sys.executable, "-m", "pipelines", "run", "shades.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (verdict,) = (tmp_path / "runs/shades").glob("verdict-*")
    judged = artifact_at(str(verdict), Report).evaluations
    assert judged["teacher"]["accuracy"] == judged["small"]["accuracy"] == 1.0
    (card,) = (tmp_path / "runs/shades").glob("small-*/*/README.md")
    assert "sparsity 0.5" in next(line for line in card.read_text().splitlines() if line.startswith("- `prune`: "))
    assert "`bright`, `dark`" in card.read_text()
    assert espalier("report", "shades.yaml").lines[0].startswith("report: ")
    assert [line.split()[1] for line in espalier("runs").lines][:1] in (["report"], ["verdict"])
