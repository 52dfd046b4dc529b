"""Small artifacts as steps leave them on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cluster.folder import Folder
from jobs.artifacts import Artifact, Dataset, Endpoint, Epoch, Finding, Model, Overlap, RejectedRow, Report
from jobs.data.preprocess import ImagePixels
from jobs.data.shards import ShardWriter
from jobs.exporting.forms import Export, Skipped, Variant
from jobs.runtime.intervals import compared
from jobs.runtime.measure import scores

SERVED = b"the served file"


def placed(artifact: Artifact, root: Path, name: str) -> Folder:
    """Save `artifact` as step `name` would, and return its folder."""
    folder = Folder(str(root / name))
    artifact.save(folder)
    return folder


def a_dataset(root: Path, classes: Sequence[str], labels: dict[str, list[int]], **facts: Any) -> Folder:
    """Make a data set of 4 × 4 images with the labels given by split."""
    (root / "data").mkdir(parents=True)
    for split, found in labels.items():
        writer = ShardWriter(root / "data" / "spool", (4, 4, 1))
        writer.append(np.zeros((len(found), 4, 4, 1), np.uint8), found)
        writer.close(root / "data" / f"{split}.arrow")
    rows = {split: len(found) for split, found in labels.items()}
    dataset = Dataset(modality="image", classes=list(classes), rows=rows, image=[4, 4, 1], **facts)
    return placed(dataset, root, "data")


def epochs(phase: str, losses: Sequence[float]) -> list[Epoch]:
    """Make one epoch of `phase` for each training loss."""
    return [
        Epoch(
            phase=phase,
            epoch=number,
            loss=loss,
            accuracy=1 - loss / 4,
            validation_loss=loss + 0.125,
            validation_accuracy=0.96875 - loss / 4,
            seconds=1.5,
            rows_per_second=958.0,
        )
        for number, loss in enumerate(losses, 1)
    ]


def a_model(root: Path, name: str, classes: Sequence[str], **facts: Any) -> Folder:
    """Make a model with a served file that no one can run."""
    folder = Folder(str(root / name))
    folder.write_bytes("model.tflite", SERVED)
    spec = {"backbone": {"kind": "resnet", "depth": 8, "width": 16}, "dropout": 0.2, "l1": 0.0, "l2": 0.0001}
    model = Model(
        spec=spec,
        classes=list(classes),
        preprocess=ImagePixels(height=4, width=4, channels=1),
        parameters=78_042,
        size_bytes=len(SERVED),
        strategy={"kind": "data_parallel", "workers": 2},
        **facts,
    )
    model.save(folder)
    return folder


def evaluation(classes: list[str], found: list[int], true: list[int], size_bytes: int) -> dict[str, Any]:
    """Return what judging a file gives, for the predictions `found`."""
    measured = scores(np.array(found, np.int32), np.array(true, np.int32), classes)
    measured |= {"parameters": size_bytes // 4, "macs": 12_345_678}
    return measured | {"size_bytes": size_bytes, "gzip_bytes": size_bytes // 2, "p50_ms": 0.39249, "p99_ms": 138.2}


def probabilities_judged(rows: int) -> dict[str, Any]:
    """Return what judging the probabilities of a model of three classes or more adds."""
    before = {"ece_before": 0.05, "nll_before": 0.15, "brier_before": 0.04}
    bins = [
        {"bin": 8, "rows": 2, "confidence": 0.57, "accuracy": 0.5},
        {"bin": 14, "rows": 22, "confidence": 0.98, "accuracy": 1.0},
    ]
    none = {"threshold": 0.9, "coverage": 0.0, "rows": 0, "accuracy": None, "low": None, "high": None}
    whole = {"threshold": 0.0, "coverage": 1.0, "rows": rows, "accuracy": 0.875, "low": 0.69, "high": 0.9566}
    sure = {"threshold": 0.8, "coverage": 22 / 24, "rows": 22, "accuracy": 1.0, "low": 0.8513, "high": 1.0}
    return {
        "calibration": {"temperature": 1.5, "ece": 0.02, "nll": 0.12, "brier": 0.03, "bins": bins} | before,
        "risk_coverage": [{"aimed": 1.0} | whole, {"aimed": 0.5} | none],
        "reject": {"aimed": 0.99} | sure,
    }


def curves_judged(classes: int) -> dict[str, Any]:
    """Return what curves of the first two of `classes` add; the others have no rows."""
    return {
        "average_precision": [0.9, 0.8, *[None] * (classes - 2)],
        "macro_average_precision": 0.85,
        "precision_at_recall": {"0": [1.0] * 51, "1": [0.5] * 51},
    }


def a_report(root: Path, evaluations: dict[str, dict[str, Any]]) -> Folder:
    """Make the report of an evaluate step."""
    return placed(Report(title="verdict", evaluations=evaluations), root, "verdict")


def an_endpoint(root: Path, label: str) -> Folder:
    """Make the endpoint of a deploy step that serves the models' file."""
    endpoint = Endpoint(
        url="http://127.0.0.1:8000/classifier",
        application="classifier",
        model_sha256=hashlib.sha256(SERVED).hexdigest(),
        request={"path": "/v1/classify", "item": "an image of 83 bytes"},
        answer={"predictions": [{"label": label, "score": 0.75}]},
    )
    return placed(endpoint, root, "live")


def a_variant(name: str, accuracy: float, size_bytes: int, chosen: bool = False) -> Variant:
    """Make what is measured of one form of a file."""
    agreement, times = accuracy + 0.125, {"p50_ms": 0.39249, "p99_ms": 138.2}
    facts = {"agreement": agreement, "rows": 24, "size_bytes": size_bytes, "gzip_bytes": size_bytes // 2} | times
    return Variant.model_validate({"name": name, "accuracy": accuracy, "chosen": chosen} | facts)


def everything(root: Path, classes: list[str]) -> dict[str, Folder]:
    """Make one run's artifacts: data, a trained and a compressed model, the verdict, the endpoint."""
    count = len(classes)
    true = [row % count for row in range(8 * count)]
    worse = [(label + 1) % count if row < 3 else label for row, label in enumerate(true)]
    trained = epochs("train", [1.0, 0.5, 0.25])
    finding = Finding(technique="prune", what="sparsity", layer="stem", promised=">= 0.5", measured="0.5000")
    broken = Finding(technique="quantize", what="share in int8", promised="> 0.5", measured="0.400", kept=False)
    chain = [{"kind": "prune", "sparsity": 0.5}, {"kind": "quantize", "scheme": "int8"}]
    teacher, small = evaluation(classes, true, true, 400_000), evaluation(classes, worse, true, 100_000)
    for found in (teacher, small):
        found |= probabilities_judged(len(true)) | curves_judged(count)
    right = np.array(true) == np.array(worse)
    small["against"] = {"first": "teacher"} | compared(np.ones(len(true), bool), right)
    small["within_noise"] = ["small: that accuracy_drop misses 0.1 is within noise: 95 % interval -0.0 to 0.3"]
    return {
        "data": a_dataset(
            root,
            classes,
            {"train": true * 2, "validation": true, "test": true},
            digest="d1" * 32,
            rejected=[RejectedRow(row="b.png", reason="is cut short")],
            rejected_rows=7,
            overlaps=[Overlap(first="train", second="test", rows=3)],
        ),
        "teacher": a_model(root, "teacher", classes, history=trained),
        "small": a_model(
            root,
            "small",
            classes,
            history=trained + epochs("prune", [0.5, 0.25]) + epochs("prune", [0.125]),
            findings=[finding, broken],
            variants=[a_variant("float32", 0.875, 400), a_variant("int8", 0.75, 100, chosen=True)],
            exports=[Export(form="onnx", path="model.onnx", rows=64, difference=0.00002, warning="experimental")],
            skipped=[Skipped(layer="norm", why="LayerNorm has no scheme")],
            chain=chain,
        ),
        "verdict": a_report(
            root,
            {"teacher": teacher, "small": small},
        ),
        "live": an_endpoint(root, classes[0]),
    }
