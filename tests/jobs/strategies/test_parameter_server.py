"""Parameter servers: train steps are a single process's when nothing is stale; what is held, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cluster.errors import RequestError
from cluster.folder import Folder
from cluster.resources import Resources
from jobs.strategies import Strategy
from jobs.strategies.parameter_server.parameter_server import fair
from pipelines.load import load


@pytest.fixture(scope="module")
def found(digits: Folder) -> dict[str, Any]:
    """Train in a process of its own, with servers in it and without."""
    command = [sys.executable, "-m", "tests.jobs.strategies.served", str(digits)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.training
def test_one_worker_takes_the_train_steps_of_a_single_process(found: dict[str, Any]) -> None:
    assert found["apart"] < 1e-4
    alone, served, _ = found["losses"]
    assert served == pytest.approx(alone, rel=1e-4)
    assert served[2] < served[0]


@pytest.mark.training
def test_weights_lie_on_both_servers_some_of_them_in_parts(found: dict[str, Any]) -> None:
    assert [device.split("/")[1:4] for device in found["placed"]["servers"]] == [
        ["job:ps", "replica:0", "task:0"],
        ["job:ps", "replica:0", "task:1"],
    ]
    assert found["placed"]["parts"] > 0


@pytest.mark.training
def test_each_epoch_tells_staleness_and_closures_in_flight(found: dict[str, Any]) -> None:
    wanted = {"mean_staleness": 0.0, "most_staleness": 0.0, "closures_in_flight": 2.0}
    assert found["facts"] == [wanted, wanted, wanted]


@pytest.mark.training
def test_each_train_step_is_timed_by_itself_and_its_worker_credited(found: dict[str, Any]) -> None:
    for timing in found["timings"]:
        assert timing["train_steps"] > timing["calls"]
        assert 0 < timing["p50_ms"] < timing["p99_ms"]
        assert len(timing["rows_per_second"]) == 1
        assert 0 < timing["input_seconds"] < timing["seconds"]


@pytest.mark.training
def test_a_lost_worker_has_the_rows_it_took_and_waits_no_more() -> None:
    from jobs.strategies.parameter_server.measured import timing_of

    def closure(worker: int, rows: int, *seconds: float) -> Any:
        return np.array([0.5, 1, rows, np.inf, 0, len(seconds), worker, *seconds])

    closures = [closure(0, 60, 1.0, 2.0), closure(2, 20, 1.0), closure(1, 30, 3.0), closure(0, 30, 4.0)]
    timing = timing_of(closures, 10.0, workers=3, living=[0, 2], bytes_sent=7)
    assert timing.rows_per_second == [9.0, 3.0, 2.0]
    assert timing.input_seconds == ((10 - 7) + (10 - 1)) / 2
    assert (timing.calls, timing.train_steps, timing.p50_ms) == (4, 5, 2000.0)
    assert timing.compute_seconds is None  # how long reads and pushes take is not told apart


@pytest.mark.training
def test_staleness_is_others_updates_for_each_train_step_of_a_closure() -> None:
    from jobs.strategies.parameter_server.measured import facts_of

    table = np.array([[0.5, 1, 60, np.inf, others, steps, 0] for others, steps in ((20, 20), (6, 3), (0, 1))])
    assert facts_of(table, 3) == {"mean_staleness": 26 / 24, "most_staleness": 2.0, "closures_in_flight": 3.0}


@pytest.mark.training
def test_a_resumed_training_ends_like_an_unbroken_one_with_no_epoch_twice(found: dict[str, Any]) -> None:
    assert found["epochs"] == [1, 2, 3]
    assert found["resumed apart"] < 1e-5
    _, served, resumed = found["losses"]
    assert resumed == pytest.approx(served, rel=1e-5)


@pytest.mark.training
def test_techniques_keep_their_promises_under_it(found: dict[str, Any]) -> None:
    assert found["phases"] == {
        "prune": ["prune", "prune"],
        "share": ["share_weights", "quantize"],
        "distill": ["distill"],
    }
    assert all(found["promises"][name] and all(found["promises"][name]) for name in found["phases"])


def test_it_holds_coordinator_servers_and_workers_and_servers_hold_no_gpu() -> None:
    strategy = Strategy.choose(
        {
            "kind": "parameter_server",
            "cpus_per_worker": 1,
            "workers": 3,
            "servers": 2,
            "gpus_per_worker": 1,
            "cpus_per_server": 0.25,
        }
    )
    assert strategy.resources() == Resources(cpus=0.5 + 3 * 1 + 2 * 0.25, gpus=3)
    servers, workers = [Resources(cpus=0.25)] * 2, [Resources(cpus=1, gpus=1)] * 3
    assert strategy.processes() == [Resources(cpus=0.5), *servers, *workers]
    assert (strategy.train_workers(), strategy.train_resources()) == (1, Resources(cpus=0.5))
    assert list(strategy.problems(batch_size=1)) == []  # a worker takes a whole batch


def test_two_workers_find_room_on_two_cpus_by_default() -> None:
    """So whoever says `parameter_server` where `data_parallel` stood changes nothing else."""
    for kind in ("data_parallel", "parameter_server", "federated"):
        assert Strategy.choose({"kind": kind, "workers": 2}).resources().fits(Resources(2)), kind


DEFINITION = """
name: refused
steps:
  data: {{job: dataset, source: {{kind: digits}}}}
  model:
    job: train
    data: data
    model: {{backbone: {backbone}}}
    precision: {precision}
    strategy: {{kind: parameter_server, servers: {servers}}}
"""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"servers": "0"}, "steps.model.strategy.servers: 0 is not 1 or more"),
        (
            {"precision": "mixed_float16"},
            "steps.model.strategy: precision mixed_float16 has not been trained with parameter servers; "
            "leave it out, or say float32",
        ),
        (
            {"backbone": "{{kind: hub, module: {here}, reads: image}}"},
            "steps.model.strategy: a hub module brings its own graph, which has not been run with parameter servers",
        ),
    ],
)
def test_what_it_cannot_carry_is_refused_at_load(changed: dict[str, str], reason: str, tmp_path: Path) -> None:
    fields = {"backbone": "{{kind: resnet, depth: 8}}", "precision": "auto", "servers": "1"} | changed
    file = tmp_path / "refused.yaml"
    fields["backbone"] = fields["backbone"].format(here=tmp_path)
    file.write_text(DEFINITION.format(**fields))
    with pytest.raises(RequestError) as caught:
        load(file)
    assert str(caught.value) == f"{file}:10: {reason}"


@pytest.mark.training
@pytest.mark.parametrize(("megabytes", "most"), [(0.5, 50), (16, 4), (100, 1)])
def test_closures_of_large_rows_have_fewer_train_steps(megabytes: float, most: int) -> None:
    from jobs.strategies.parameter_server.packing import carried

    feed: Any = SimpleNamespace(read=lambda *_: [np.zeros(int(megabytes * 2**20), np.uint8)])
    assert carried(feed, 0, 50) == most


def test_a_few_train_steps_are_dealt_to_all_workers() -> None:
    assert fair(200, most=20, workers=2) == 20
    assert fair(14, most=20, workers=2) == 4
    assert fair(1, most=20, workers=64) == 1
