from __future__ import annotations

import yaml

from jobs.artifacts import Epoch, Finding, Model
from jobs.data.preprocess import ImagePixels
from jobs.report.card import card

PIXELS = ImagePixels(height=8, width=8, channels=1)


def model(**more: object) -> Model:
    facts = {"spec": {"backbone": {"kind": "resnet"}}, "classes": ["cat", "dog"], "preprocess": PIXELS}
    return Model.model_validate({**facts, "parameters": 1_234, "size_bytes": 5_678, **more})


def epoch(number: int, accuracy: float) -> Epoch:
    shown = {"loss": 0.5, "accuracy": 0.9, "validation_loss": 0.25, "validation_accuracy": accuracy}
    return Epoch.model_validate({"epoch": number, **shown, "seconds": 1.0, "rows_per_second": 10.0})


def test_the_front_matter_is_what_hugging_face_reads() -> None:
    text = card(model(chain=[{"kind": "prune", "sparsity": 0.5}, {"kind": "quantize", "scheme": "int8"}]))
    _, front, body = text.split("---\n")
    assert yaml.safe_load(front) == {
        "library_name": "litert",
        "pipeline_tag": "image-classification",
        "tags": ["espalier", "resnet", "prune", "quantize"],
        "metrics": ["accuracy"],
    }
    assert body.startswith("# Classifier of 2 classes, image\n")
    assert "- `prune`: sparsity 0.5\n- `quantize`: scheme int8\n" in body


def test_the_card_says_what_the_artifact_says() -> None:
    broken = Finding(technique="prune", what="sparsity", layer="stem", measured="0.1", kept=False)
    text = card(model(history=[epoch(1, 0.5), epoch(2, 0.875)], findings=[broken], strategy={"kind": "single"}))
    assert "Backbone `resnet`, 1,234 parameters, `model.tflite` of 5,678 bytes." in text
    assert "\n## Classes\n`cat`, `dog`\n" in text
    assert "2 epochs; after the last, accuracy 0.8750 and loss 0.2500 on validation rows" in text
    assert "\nStrategy `single`.\n" in text
    assert "\n- not kept: sparsity stem, 0.1\n" in text


def test_many_classes_are_cut_short() -> None:
    text = card(model(classes=[f"c{number}" for number in range(1_000)]))
    assert "`c48`, `c49`, … 950 more\n" in text
