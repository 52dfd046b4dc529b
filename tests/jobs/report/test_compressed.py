"""What the page says of models that were fused, compressed within a budget, and judged class by class."""

from __future__ import annotations

from pathlib import Path

from jobs.budget.record import Budget, Tried
from jobs.exporting.forms import StoredLayer
from jobs.fusing.record import Fused, Ingredient
from tests.jobs.report.making import a_model, a_report, evaluation
from tests.jobs.report.reading import Page
from tests.jobs.report.test_page import written

CLASSES = ["oak", "elm"]


def test_shows_members_and_their_weights(tmp_path: Path) -> None:
    members = [
        Ingredient(step="one", accuracy=0.9, loss=0.3, weight=1.0),
        Ingredient(step="two", accuracy=0.8, loss=0.4, weight=0.0),
    ]
    method = {"kind": "average", "of": "logits", "weights": "learned"}
    fused = Fused(method=method, members=members, accuracy=0.95, loss=0.2, rows=1_000)
    page = Page(written({"both": a_model(tmp_path, "both", CLASSES, fused=fused)}, tmp_path / "out"))
    assert page.tables["both (average, logits, learned), on 1,000 rows"] == [
        ["Member", "Weight", "Validation accuracy", "Validation loss"],
        ["one", "1.000", "90.00 %", "0.3000"],
        ["two", "left out", "80.00 %", "0.4000"],
        ["both", "–", "95.00 %", "0.2000"],
    ]


def test_shows_every_chain_that_was_tried_and_the_one_that_was_taken(tmp_path: Path) -> None:
    before = {"accuracy": 0.95, "loss": 0.2, "size_bytes": 4_000.0, "p99_ms": 0.4}
    tried = [
        Tried(
            number=0,
            chain=["prune", "quantize"],
            values={"parts": "0+1", "techniques[0].sparsity": 0.5},
            measured={"accuracy": 0.94, "loss": 0.3, "size_bytes": 1_000.0, "p99_ms": 0.2},
            front=True,
            chosen=True,
        ),
        Tried(number=1, chain=["prune"], failed="prune broke its promise: sparsity is 0.1\nlayer stem"),
    ]
    budget = Budget(before=before, limits={"accuracy": 0.94, "size_bytes": 2_000.0}, choose="smallest", tried=tried)
    page = Page(written({"small": a_model(tmp_path, "small", CLASSES, budget=budget)}, tmp_path / "out"))
    assert page.tables["Chains tried for small"] == [
        ["Chain", "Techniques", "Drawn", "Accuracy", "Change, points", "Bytes", "p99, ms", ""],
        ["0", "prune → quantize", "techniques[0].sparsity 0.5", "94.00 %", "−1.00", "1,000", "0.200", "taken"],
        ["1", "prune", "–", "–", "–", "–", "–", "failed: prune broke its promise: sparsity is 0.1"],
    ]
    assert (
        "The smallest that keeps accuracy at least 0.94, size_bytes at most 2000 was taken." in page.sections["Budget"]
    )


def test_shows_bits_and_zeros_of_every_layer(tmp_path: Path) -> None:
    stored = [
        StoredLayer(layer="stem", type="int8", bits=8, weights=300, zeros=0.5, values=16),
        StoredLayer(layer="words", type="float32", bits=32, weights=100, zeros=0.0, values=100),
    ]
    page = Page(written({"small": a_model(tmp_path, "small", CLASSES, stored=stored)}, tmp_path / "out"))
    assert page.tables["Layers in the file of small"] == [
        ["Layer", "Type", "Bits", "Weights", "Zeros", "Different values"],
        ["stem", "int8", "8", "300", "50.00 %", "16"],
        ["words", "float32", "32", "100", "0.00 %", "100"],
    ]
    assert (
        "small: 400 weights in kernels and embeddings, 14.0 bits each, 37.50 % of them zero."
        in (page.sections["Layers"])
    )


def test_flags_classes_that_lost_more_than_five_points(tmp_path: Path) -> None:
    true = [0] * 20 + [1] * 20
    teacher = evaluation(CLASSES, true, true, 400)
    small = evaluation(CLASSES, [0] * 18 + [1] * 2 + [1] * 19 + [0], true, 100)
    small["against"] = {"agreement": 0.925, "first": "teacher", "lost": 3, "gained": 0} | dict.fromkeys(
        ("change", "low", "high", "p_value"), 0.0
    )
    page = Page(written({"verdict": a_report(tmp_path, {"teacher": teacher, "small": small})}, tmp_path / "out"))
    assert page.tables["Share of each class's rows that small gets right, against teacher"] == [
        ["Class", "Rows", "First", "Now", "Change, points", ""],
        ["oak", "20", "100.00 %", "90.00 %", "−10.00", "lost"],
        ["elm", "20", "100.00 %", "95.00 %", "−5.00", ""],
    ]
    told = "small against teacher: more than 5 points lost in: oak; both answer the same on 92.50 % of rows."
    assert told in page.sections["Classes against the first"]
