from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.errors import RequestError
from cluster.folder import Folder
from cluster.growth import grown
from cluster.resources import Capacity, Nodes, Resources
from jobs.job import Job
from pipelines.costs.estimate import Estimate, estimate, rate
from pipelines.load import load
from pipelines.pipeline import Pipeline
from pipelines.plan import plan
from pipelines.store import Store

GIB = 2**30
HEAD = [Nodes(Resources(1), 1)]
TYPES: dict[str, dict[str, Any]] = {
    "head": {"resources": {"CPU": 1}, "max_workers": 0},
    "cpu": {"resources": {"CPU": 8}, "max_workers": 2},
    "t4": {"resources": {"CPU": 4, "GPU": 1}, "labels": {"ray.io/accelerator-type": "T4", "market": "on-demand"}},
    "t4-spot": {"resources": {"CPU": 4, "GPU": 1}, "labels": {"ray.io/accelerator-type": "T4", "market": "spot"}},
    "a100": {"resources": {"CPU": 96, "GPU": 8}, "labels": {"ray.io/accelerator-type": "A100"}},
}
CLOUD = grown(HEAD, HEAD, {"max_workers": 20, "head_node_type": "head", "available_node_types": TYPES})
PRICES = {"cpu": 0.4, "t4": 0.6, "t4-spot": 0.2, "a100": 30.0}
HERE = Capacity.of([Nodes(Resources(4, 0, 8 * GIB), 1)])


def train(**strategy: Any) -> Job:
    strategy = {"kind": "data_parallel", "workers": 2, "cpus_per_worker": 3, **strategy}
    model = {"backbone": {"kind": "resnet", "depth": 8}}
    step = {"job": "train", "data": "data", "model": model, "batch_size": 64, "strategy": strategy}
    found = Pipeline.model_validate(
        {"name": "toy", "steps": {"data": {"job": "dataset", "source": {"kind": "digits"}}, "model": step}}
    )
    return found.steps["model"]


def started(job: Job) -> list[str]:
    return [node.kind for node in CLOUD.placed(job.processes()) or ()]


def test_workers_without_gpus_start_nodes_without_gpus() -> None:
    assert started(train()) == ["cpu"]
    assert started(train(workers=4)) == ["cpu", "cpu"]
    assert rate(train(workers=4), CLOUD, PRICES) == pytest.approx(0.8)


def test_an_accelerator_and_labels_choose_the_node_type() -> None:
    assert started(train(gpus_per_worker=1, accelerator="A100")) == ["a100"]
    assert started(train(gpus_per_worker=1, accelerator="T4", labels={"market": "spot"})) == ["t4-spot", "t4-spot"]
    assert rate(train(gpus_per_worker=1, labels={"market": "spot"}), CLOUD, PRICES) == pytest.approx(0.4)


def test_parameter_servers_hold_no_gpus_and_lie_where_cpus_are() -> None:
    job = train(kind="parameter_server", servers=2, cpus_per_server=4, gpus_per_worker=1, accelerator="T4")
    assert sorted(started(job)) == ["", "cpu", "t4", "t4"]  # the coordinator fits beside the head


def test_what_no_node_type_is_like_is_refused_before_anything_starts() -> None:
    wanted = train(gpus_per_worker=1, accelerator="H100").processes()
    assert CLOUD.refuses(wanted) == (
        "needs 3 CPU, 1 GPU, ray.io/accelerator-type H100 in one process, and no node of the cluster is like that"
    )
    assert HERE.refuses(train(memory=16 * GIB).processes()) == (
        "needs 3 CPU, 16 GiB in one process, and no node of the cluster holds that much"
    )
    assert not HERE.refuses(train(workers=1, accelerator="A100").processes())  # nobody knows this machine's labels yet


def test_where_nodes_have_no_price_cpus_and_gpus_do() -> None:
    assert rate(train(workers=1), HERE, {"CPU": 0.05}) == pytest.approx(0.15)
    assert rate(train(workers=1), HERE, {"GPU": 1.0}) is None
    assert rate(train(gpus_per_worker=1), Capacity.unknown(), {"CPU": 0.05, "GPU": 1.0}) == pytest.approx(2.3)


def test_a_step_tells_how_long_it_took_and_what_that_would_cost(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text("name: toy\nsteps:\n  data: {job: dataset, source: {kind: digits}}\n")
    (step,) = plan(load(tmp_path / "toy.yaml"), Store(Folder.parse(str(tmp_path / "runs")))).values()
    assert estimate(step, CLOUD, {}) == Estimate({}, None, None)
    assert estimate(step, CLOUD, {}).words() == ""
    found = Estimate({"t4": 2}, 1.2, 1800.0)
    assert found.words() == (
        "starts 2 t4, about 1.20 an hour, took 30 min 0 s when it was last made, then about 0.60 in all"
    )
    assert found.facts() == {"starts": {"t4": 2}, "per_hour": 1.2, "took": 1800.0}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("max_cost: 3", "max_cost: needs prices, by which costs are counted"),
        ("prices: {t4: -1}", "prices.t4: -1 is not 0 or more"),
        ("timeout: 0", "timeout: 0 is not above 0"),
    ],
)
def test_limits_and_prices_are_checked_with_the_definition(tmp_path: Path, line: str, told: str) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text(f"name: toy\n{line}\nsteps:\n  data: {{job: dataset, source: {{kind: digits}}}}\n")
    with pytest.raises(RequestError) as caught:
        load(file)
    assert str(caught.value) == f"{file}:2: {told}"


def test_a_label_is_a_plain_value() -> None:
    with pytest.raises(ValueError, match=r"should match pattern"):
        train(labels={"market": "in(spot,on-demand)"})
