from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cluster.folder import Folder
from jobs.artifacts import Artifact, Epoch, Model, Scaling, Speed, Timing
from jobs.report.page import rendered
from tests.jobs.report.making import a_model, a_report, epochs
from tests.jobs.report.reading import Page


def timed(workers: int, input_seconds: Sequence[float | None], sent: int) -> list[Epoch]:
    """Return epochs of four train steps, timed; the exchange takes a tenth of their two seconds."""
    made = []
    for epoch, waited in zip(epochs("train", [1.0, 0.5, 0.25]), input_seconds, strict=True):
        timing = Timing(
            rows_per_second=[500.0 / epoch.epoch] * workers,
            calls=2,
            train_steps=4,
            p50_ms=500.0,
            p90_ms=510.0 + epoch.epoch,
            p99_ms=0.5,
            seconds=2.0,
            input_seconds=waited,
            communication_seconds=0.2 if workers > 1 else 0.0,
            bytes_sent=sent,
        )
        made.append(epoch.model_copy(update={"timing": timing}))
    return made


def page(root: Path, models: dict[str, list[Epoch]], secret: str = "") -> Page:
    folders: dict[str, Folder] = {}
    for name, history in models.items():
        folder = folders[name] = a_model(root, name, ["cat", "dog"], history=history)
        workers = len(history[0].timing.rows_per_second) if history[0].timing else 1
        strategy = {"kind": "single" if workers == 1 else "data_parallel", "workers": workers}
        if name == secret:
            strategy = {"kind": "federated", "workers": 3}
        Model.load(folder).model_copy(update={"strategy": strategy}).save(folder)
    folders["verdict"] = a_report(root, {"alone": {"accuracy": 0.875, "size_bytes": 15}})
    return Page(rendered("Speed", {name: Artifact.load(folder) for name, folder in folders.items()}))


def test_strategies_stand_side_by_side_with_what_was_judged_of_them(tmp_path: Path) -> None:
    found = page(tmp_path, {"alone": timed(1, [0.1, 0.2, 0.3], 0), "both": timed(2, [None, 1.0, 0.5], 1000)})
    assert found.tables["Strategies side by side"][1:] == [
        ["alone", "single, 1 worker", "87.50 %", "958", "0", "4.5"],
        ["both", "data_parallel, 2 workers", "–", "958", "12,000", "4.5"],
    ]
    assert found.tables["Where the time of training went"][1:] == [
        ["alone", "1", "250", "500", "512", "0.500", "10.0 %", "90.0 %", "0.0 %", "0"],
        ["both", "2", "250", "500", "512", "0.500", "37.5 %", "52.5 %", "10.0 %", "1,000"],
    ]


def test_a_model_whose_training_tells_no_speed_stands_beside_the_others_without_one(tmp_path: Path) -> None:
    found = page(tmp_path, {"alone": timed(1, [0.1, 0.2, 0.3], 0), "secret": epochs("train", [1.0, 0.5])}, "secret")
    assert found.tables["Strategies side by side"][1:] == [
        ["alone", "single, 1 worker", "87.50 %", "958", "0", "4.5"],
        ["secret", "federated, 3 workers", "–", "–", "–", "3.0"],
    ]
    assert [row[0] for row in found.tables["Where the time of training went"][1:]] == ["alone"]


def test_models_of_one_strategy_are_not_set_side_by_side(tmp_path: Path) -> None:
    found = page(tmp_path, {"alone": timed(1, [0.1, 0.2, 0.3], 0), "again": timed(1, [0.1, 0.2, 0.3], 0)})
    assert "Strategies side by side" not in found.tables
    assert len(found.tables["Where the time of training went"]) == 3


def test_models_that_were_not_timed_have_no_speed(tmp_path: Path) -> None:
    assert "Speed" not in page(tmp_path, {"alone": epochs("train", [1.0])}).sections


def test_a_bench_of_workers_is_a_table_and_a_curve(tmp_path: Path) -> None:
    timing = timed(2, [0.1, 0.2, 0.3], 1000)[1].timing
    speeds = [
        Speed(workers=1, rows_per_second=1000.0, efficiency=1.0, timing=None),
        Speed(workers=2, rows_per_second=1700.0, efficiency=0.85, timing=timing),
    ]
    strategy = {"kind": "data_parallel", "cpus_per_worker": 1.0}
    made = Scaling(step="model", strategy=strategy, batch_size=64, speeds=speeds).save(Folder(str(tmp_path)))
    found = Page(rendered("Bench", {"model": made}))
    assert list(found.sections) == ["Definition", "Scaling", "Provenance"]
    assert "model, data_parallel, 64 rows a global batch" in found.sections["Scaling"]
    assert found.tables["Speed of model by workers"][1:] == [
        ["1", "1,000", "1,000", "100.0 %", "–", "–", "–", "–"],
        ["2", "1,700", "850", "85.0 %", "500", "10.0 %", "10.0 %", "1,000"],
    ]
    assert "in proportion" in found.sections["Scaling"]
