"""What the page says of models that were judged: side by side, row by row, how sure they are and of what."""

from __future__ import annotations

import pytest

from tests.jobs.report.making import everything
from tests.jobs.report.reading import Page
from tests.jobs.report.test_page import CLASSES, written


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Page:
    root = tmp_path_factory.mktemp("judged")
    return Page(written(everything(root, CLASSES), root / "out"))


HEADINGS = [
    "Model", "Accuracy", "95 % interval", "Change, points", "p", "Balanced accuracy", "Macro-F1", "Bytes",
    "Of the first", "Gzip bytes", "Parameters", "MACs", "p50, ms", "p99, ms",
]  # fmt: skip


def test_compares_models_with_the_first(full: Page) -> None:
    sure, less, times = "86.20 % to 100.00 %", "69.00 % to 95.66 %", ("12,345,678", "0.392", "138")
    assert full.tables["Models judged by verdict"] == [
        HEADINGS,
        [
            "teacher",
            "100.00 %",
            sure,
            "0.00",
            "–",
            "100.00 %",
            "100.00 %",
            "400,000",
            "100.0 %",
            "200,000",
            "100,000",
            *times,
        ],
        [
            "small",
            "87.50 %",
            less,
            "−12.50",
            "0.250",
            "87.50 %",
            "87.50 %",
            "100,000",
            "25.0 %",
            "50,000",
            "25,000",
            *times,
        ],
    ]
    assert full.tables["Row by row against teacher"] == [
        ["Model", "Only the first right", "Only this right", "Change, points", "95 % interval", "p"],
        ["small", "3", "0", "−12.50", "−27.80 to +4.72", "0.250"],
    ]
    noise = "small: that accuracy_drop misses 0.1 is within noise"
    assert noise in full.sections["Comparison"]


def test_shows_calibration_and_what_abstaining_brings(full: Page) -> None:
    assert full.tables["Calibration of models judged by verdict"] == [
        ["Model", "Temperature", "ECE", "ECE before", "NLL", "NLL before", "Brier", "Brier before"],
        ["teacher", "1.500", "0.0200", "0.0500", "0.1200", "0.1500", "0.0300", "0.0400"],
        ["small", "1.500", "0.0200", "0.0500", "0.1200", "0.1500", "0.0300", "0.0400"],
    ]
    assert full.tables["What small answers when it may abstain"] == [
        ["Aimed coverage", "Threshold", "Coverage", "Accuracy", "95 % interval", "Rows"],
        ["100 %", "–", "100.0 %", "87.50 %", "69.00 % to 95.66 %", "24"],
        ["50 %", "0.9000", "0.0 %", "–", "–", "0"],
        ["as 99.0 % accuracy needs", "0.8000", "91.7 %", "100.00 %", "85.13 % to 100.00 %", "22"],
    ]


def test_shows_precision_and_recall_by_class(full: Page) -> None:
    assert full.tables["Average precision by class (2)"] == [
        ["Class", "Average precision", "Rows"],
        ["cat", "90.00 %", "8"],
        ["dog", "80.00 %", "8"],
        ["owl", "–", "8"],
        ["Mean of classes", "85.00 %", "24"],
    ]
