"""Gangs of runs make Ray's own autoscaler start nodes with GPUs, train there, and let the nodes go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.folder import Folder
from jobs.sweeping.trials import Trials
from tests.cluster.autoscaling.head import ROOT, growing_from_one

LONGEST = 240  # seconds a run may take
STORE = 200 * 2**20  # bytes of a node's object store
HEAD = "ray.head.default"  # what the provider of fake nodes calls it
TYPES: dict[str, dict[str, Any]] = {
    HEAD: {"resources": {"CPU": 1}, "max_workers": 0},
    "cpu": {
        "resources": {"CPU": 2, "object_store_memory": STORE},
        "labels": {"market": "on-demand"},
        "max_workers": 2,
    },
    "t4": {
        "resources": {"CPU": 1, "GPU": 1, "object_store_memory": STORE},
        "labels": {"ray.io/accelerator-type": "T4", "market": "spot"},
        "max_workers": 2,
    },
}
LIMIT = {"max_workers": 4, "head_node_type": HEAD}
GANG: dict[str, Any] = {
    "kind": "data_parallel",
    "workers": 2,
    "gpus_per_worker": 1,
    "accelerator": "T4",
    "labels": {"market": "spot"},
}


def started(root: Path, name: str, address: str, strategy: dict[str, Any]) -> subprocess.Popen[str]:
    """Begin to run a definition of its own in a process of its own."""
    step: dict[str, Any] = {
        "job": "train",
        "data": "data",
        "model": {"backbone": {"kind": "resnet", "depth": 8, "width": 4}},
    }
    step |= {"batch_size": 256, "epochs": 1, "strategy": strategy}
    steps = {"data": {"job": "dataset", "source": {"kind": "digits"}}, "model": step}
    file = root / f"{name}.yaml"
    file.write_text(yaml.safe_dump({"name": name, "prices": {"t4": 0.5}, "steps": steps}, sort_keys=False))
    words = [sys.executable, "-m", "pipelines", "run", str(file), "--store", str(root / "runs"), "--address", address]
    return subprocess.Popen(words, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def ended(run: subprocess.Popen[str]) -> str:
    """Return what a run printed once it ended well."""
    try:
        said, _ = run.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        run.kill()
        said, _ = run.communicate()
        raise AssertionError(said) from None
    assert run.returncode == 0, said
    return said


ASKING = """
import sys
import ray
from cluster.gang import Gang, Member, Role
from cluster.growth import asked_ahead
from cluster.resources import Resources
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR", namespace="team")
worker = Resources(1, 1, labels=(("market", "spot"), ("ray.io/accelerator-type", "T4")))
server = Resources(2)
with asked_ahead("gang", [worker, worker, server]):
    gang = Gang.start("gang", {"worker": Role(2, worker), "server": Role(1, server)}, Member)
    nodes = {node["NodeID"]: node["Labels"].get("market") for node in ray.nodes()}
    for (role, rank), node in sorted(gang._nodes.items()):
        print(role, rank, nodes[node])
    gang.stop()
"""


@pytest.mark.cluster
def test_a_gang_of_several_sizes_is_asked_for_at_once_and_its_nodes_go(tmp_path: Path) -> None:
    with growing_from_one(tmp_path, TYPES, LIMIT, idle_minutes=0.05) as head:
        words = [sys.executable, "-c", ASKING, head.address]
        found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST)
        assert found.stdout.splitlines() == ["server 0 on-demand", "worker 0 spot", "worker 1 spot"], found.stderr
        scaled = head.wait_until_gone()
        added = [step for step in scaled if step.startswith("+")]
        assert sorted(added) == ["+1 cpu", "+2 t4"]
        assert scaled[: len(added)] == added


@pytest.mark.slow
@pytest.mark.cluster
def test_a_gang_of_gpus_starts_its_nodes_at_once_trains_there_and_lets_them_go(tmp_path: Path) -> None:
    with growing_from_one(tmp_path, TYPES, LIMIT, idle_minutes=0.05) as head:
        said = ended(started(tmp_path, "team", head.address, GANG))
        assert "model  train epoch 1/1, " in said
        assert head.wait_until_gone() == ["+2 t4", "-2 t4"]


@pytest.mark.slow
@pytest.mark.cluster
def test_two_teams_whose_gangs_find_room_for_one_take_turns(tmp_path: Path) -> None:
    with growing_from_one(tmp_path, TYPES, LIMIT, idle_minutes=0.05, cpus=2) as head:
        runs = [started(tmp_path, name, head.address, GANG) for name in ("first", "second")]
        for said in [ended(run) for run in runs]:
            assert "model  train epoch 1/1, " in said
        assert {step for step in head.wait_until_gone() if step.startswith("+")} <= {"+2 t4", "+1 t4"}


@pytest.mark.slow
@pytest.mark.cluster
def test_coordinator_servers_and_workers_are_asked_for_together(tmp_path: Path) -> None:
    gang = {"kind": "parameter_server", "workers": 2, "servers": 2, "cpus_per_server": 1, "gpus_per_worker": 1}
    with growing_from_one(tmp_path, TYPES, LIMIT, idle_minutes=0.05) as head:
        ended(started(tmp_path, "servers", head.address, gang))
        scaled = head.wait_until_gone()
        assert sorted(step for step in scaled if step.startswith("+")) == ["+1 cpu", "+2 t4"]


SWEEPING = """
import sys
from pathlib import Path
from cluster.folder import Folder
from cluster.session import connected
from jobs.sweeping.driving import drive
from tests.jobs.sweeping.synthetic import plan_of

root = Path(sys.argv[2])
with connected(sys.argv[1]):
    plan = plan_of(root, {"model.dropout": {"kind": "uniform", "low": 0.0, "high": 0.9}}, 4)
    drive(plan, Folder(str(root / "out")), lambda event: None)
"""


@pytest.mark.slow
@pytest.mark.cluster
def test_a_sweep_starts_on_a_cluster_at_rest_whose_head_holds_nothing(tmp_path: Path) -> None:
    with growing_from_one(tmp_path, TYPES, LIMIT, cpus=0) as head:
        words = [sys.executable, "-c", SWEEPING, head.address, str(tmp_path)]
        ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST)
        assert ran.returncode == 0, ran.stderr
        assert Trials.load(Folder(str(tmp_path / "out"))).finished == 4
        assert head.scaled() in (["+2 cpu"], ["+1 cpu", "+1 cpu"])
