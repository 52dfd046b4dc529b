"""Rounds of federated training: what they reach, what leaves a client, what a client opens, and who may die."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.data.remote.shards import open_rows
from jobs.strategies import Strategy
from jobs.strategies.federated.division import client_of
from jobs.strategies.federated.messages import Update
from jobs.techniques import Technique
from tests.jobs.strategies.federated.rig import (
    BAG,
    SGD,
    SMALL,
    DieInRound,
    Trained,
    Watched,
    distance,
    ended,
    recorded,
    recording,
    run,
)
from tests.rig import TINY, MemoryKeeper

pytestmark = [pytest.mark.cluster, pytest.mark.training]


@pytest.fixture(scope="module")
def alone(texts: Folder, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a training of one epoch in this process."""
    trained = Trained(tmp_path_factory.mktemp("single"), texts, {"kind": "single"}, SGD | {"epochs": 1})
    trained.run()
    return trained


def test_one_client_and_one_local_epoch_are_single(
    ray_cluster: None, alone: Trained, texts: Folder, tmp_path: Path
) -> None:
    federated = Trained(tmp_path, texts, SMALL | {"workers": 1}, alone.recipe)
    federated.run()
    assert distance(federated.weights(), alone.weights()) <= 1e-6
    for found, wanted in zip(federated.history(), alone.history(), strict=True):
        assert found.loss == pytest.approx(wanted.loss, abs=1e-6)
        assert found.validation_loss == pytest.approx(wanted.validation_loss, abs=1e-6)
    assert federated.out.files().keys() == alone.out.files().keys()


@pytest.fixture(scope="module")
def watched(ray_cluster: None, digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a training of three rounds by two clients with skewed labels, watched and recorded."""
    root = tmp_path_factory.mktemp("watched")
    strategy = SMALL | {"partition": {"kind": "dirichlet", "alpha": 1.0}, "server": {"kind": "fedprox", "mu": 0.1}}
    recipe = {"epochs": 3, "learning_rate": 0.01, "batch_size": 64}
    trained = Trained(root, digits, strategy, recipe, {"backbone": TINY})
    trained.hub = recording(root / "messages")
    trained.run(Watched(trained.work(), root))
    return trained


def test_the_loss_falls_and_the_epochs_say_what_rounds_cost(watched: Trained) -> None:
    history = watched.history()
    assert [epoch.epoch for epoch in history] == [1, 2, 3]
    assert history[0].loss > history[1].loss > history[2].loss
    weights = sum(array.nbytes for array in watched.weights().values())
    for epoch in history:
        assert epoch.timing is not None
        assert len(epoch.timing.rows_per_second) == 2
        assert epoch.timing.bytes_sent == 2 * 2 * weights // epoch.timing.train_steps
    assert Model.load(watched.out).strategy["server"] == {"kind": "fedprox", "mu": 0.1}


def test_no_row_and_no_label_is_in_any_message_of_a_client(watched: Trained, digits: Folder) -> None:
    shapes = sorted(array.shape for array in watched.weights().values())
    rows = open_rows(digits, "train.arrow")
    messages = recorded(watched.root / "messages")
    updates = [message[2] for _, message in messages if message[0] == "deliver"]
    assert sorted(update.client for update in updates) == [0, 0, 0, 1, 1, 1]
    assert sum(update.rows for update in updates) == 3 * len(rows)
    for raw, message in messages:
        assert all(isinstance(part, str | int | Update) for part in message)
        assert not any(row.tobytes() in raw or row.astype(np.float32).tobytes() in raw for row in rows.x)
    for update in updates:
        assert vars(update).keys() == {"client", "change", "rows", "sums", "bad_step"}
        assert sorted(part.shape for part in update.change) == shapes  # one number a weight, and no other array
        assert {part.dtype for part in update.change} == {np.dtype("float32")}
        assert [type(number) for number in update.sums] == [float, float, float]
        assert update.bad_step is None


def test_a_client_opens_its_own_rows_alone_and_ends_with_the_training(watched: Trained, digits: Folder) -> None:
    import ray

    division = watched.root / "kept/division"
    parts = {str(file) for file in division.rglob("*.arrow")} | {str(file) for file in digits.path.glob("*.arrow")}
    for client in range(2):
        seen = json.loads((watched.root / f"{client + 1}.json").read_text())
        opened = set(seen["files"]) & parts
        assert str(division / client_of(client) / "train.arrow") in opened
        assert {Path(file).parent.name for file in opened} <= {client_of(client), "nobody"}
        assert ended(seen["pid"])
    with pytest.raises(ValueError, match="Failed to look up"):
        ray.util.get_placement_group(watched.name)


def test_the_death_of_every_client_is_an_error(ray_cluster: None, texts: Folder, tmp_path: Path) -> None:
    trained = Trained(tmp_path, texts, SMALL, SGD | {"epochs": 4})
    keeper = MemoryKeeper(tmp_path / "kept")
    with pytest.raises(StepError) as caught:
        trained.run(DieInRound(trained.work(), {1: 1, 0: 2}), keeper)
    died = r"\(pid \d+ on [0-9.]+\) died"  # only a worker of Ray's finds the log that names the signal
    wanted = f"the clients: are all dead: client 1: {died}; client 0: {died}, wanted one that lives"
    assert re.fullmatch(wanted, str(caught.value)), str(caught.value)
    history = keeper.kept[0].history
    assert [epoch.facts for epoch in history] == [{"clients": 2}, {"clients": 1}]
    rows = Dataset.load(Folder.parse(str(tmp_path / "kept/division" / client_of(0)))).rows["train"]
    assert history[1].timing is not None
    assert [speed > 0 for speed in history[1].timing.rows_per_second] == [True, False]
    assert history[1].rows_per_second * history[1].seconds == pytest.approx(rows)


def test_clients_ask_the_teacher_about_their_own_rows(
    ray_cluster: None, alone: Trained, texts: Folder, tmp_path: Path
) -> None:
    from jobs.compressing import CompressWork  # imports TensorFlow

    student = {"backbone": BAG | {"width": 4}}
    distill = {"kind": "distill", "student": student, "epochs": 2, "learning_rate": 0.05, "batch_size": 32}
    chain = [Technique.choose(fields) for fields in (distill, {"kind": "quantize", "scheme": "float16"})]
    out = Folder.parse(str(tmp_path / "out"))
    strategy = Strategy.choose(SMALL)
    work = CompressWork(chain, strategy, alone.out, texts, out)
    run(strategy, Watched(work, tmp_path), MemoryKeeper(tmp_path / "kept"), f"distill-{tmp_path.name}")
    model = Model.load(out)
    assert [(epoch.phase, epoch.epoch) for epoch in model.history] == [("train", 1), ("distill", 1), ("distill", 2)]
    assert model.history[2].loss < model.history[1].loss
    agreement = next(finding for finding in model.findings if finding.what.startswith("agreement"))
    assert float(agreement.measured) > 0.5
    for client in range(2):
        seen = json.loads((tmp_path / f"{client + 1}.json").read_text())
        assert not {str(texts.path / f"{split}.arrow") for split in Dataset.splits} & set(seen["files"])
