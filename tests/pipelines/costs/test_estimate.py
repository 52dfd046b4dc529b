from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.errors import RequestError
from cluster.folder import Folder
from cluster.growth import grown
from cluster.resources import Capacity, Nodes, Resources
from jobs.job import Job
from jobs.kinds.score import Score
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
CPUS = grown(HEAD, HEAD, {"max_workers": 2, "available_node_types": {"cpu": TYPES["cpu"]}})
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


def trials(number: int, **fields: Any) -> Job:
    model = {"backbone": {"kind": "resnet", "depth": 8}}
    sweep: dict[str, Any] = {"job": "sweep", "train": {"data": "data", "model": model}, "trials": number, **fields}
    sweep["space"] = {"model.dropout": {"kind": "uniform", "low": 0.0, "high": 0.5}}
    steps = {"data": {"job": "dataset", "source": {"kind": "digits"}}, "tuned": sweep}
    return Pipeline.model_validate({"name": "toy", "steps": steps}).steps["tuned"]


def test_as_many_trials_count_as_may_run_at_once() -> None:
    assert rate(trials(16), HERE, {"CPU": 0.5}) == pytest.approx(2.0)  # four CPUs hold four
    assert rate(trials(16, concurrent=3), HERE, {"CPU": 0.5}) == pytest.approx(1.5)
    assert rate(trials(16), Capacity.unknown(), {"CPU": 0.5}) == pytest.approx(8.0)
    assert rate(trials(9), CPUS, {"": 0.1, "cpu": 0.4}) == pytest.approx(0.1 + 0.4)  # one beside the head
    assert rate(trials(99), CPUS, {"": 0.1, "cpu": 0.4}) == pytest.approx(0.1 + 0.8)
    uneven = Capacity.of([Nodes(Resources(3), 2)])
    pairs = {"kind": "data_parallel", "workers": 1, "cpus_per_worker": 2}
    wide = trials(9).model_copy(update={"train": train(**pairs)})
    assert rate(wide, uneven, {"CPU": 1.0}) == pytest.approx(4.0)  # six CPUs, and no third trial of two lies on a node


def test_a_sweep_says_how_many_trials_it_counts(tmp_path: Path) -> None:
    model = {"backbone": {"kind": "resnet", "depth": 8}}
    space = {"model.dropout": {"kind": "uniform", "low": 0.0, "high": 0.5}}
    tuned = {"job": "sweep", "train": {"data": "data", "model": model}, "trials": 8, "space": space}
    steps = {"data": {"job": "dataset", "source": {"kind": "digits"}}, "tuned": tuned}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump({"name": "toy", "steps": steps}))
    planned = plan(load(tmp_path / "toy.yaml"), Store(Folder.parse(str(tmp_path / "runs"))))
    found = estimate(planned["tuned"], HERE, {"CPU": 1.0})
    assert found.words() == "up to 4 trials at once, about 4.00 an hour"
    assert found.facts() == {"per_hour": 4.0, "at_once": 4}


def test_more_workers_than_a_node_holds_are_priced_where_they_need_not_lie_on_one() -> None:
    wide = Score.model_validate({"model": "model", "source": {"kind": "digits"}, "workers": 16})
    assert rate(wide, CPUS, {"": 0.1, "cpu": 0.4}) == pytest.approx(0.1 + 2 * 0.4)


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
