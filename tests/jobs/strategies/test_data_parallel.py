"""What the options of data_parallel become: resources, environment, and what TensorFlow is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cluster.resources import Resources
from jobs.spec import counted
from jobs.strategies import Strategy
from jobs.strategies.devices import set_up


def strategy(**options: Any) -> Strategy:
    return Strategy.choose({"kind": "data_parallel", **options})


def test_elastic_workers_hold_the_fewest_and_may_become_the_most() -> None:
    elastic = strategy(workers={"min": 2, "max": 5}, cpus_per_worker=2.0)
    assert elastic.resources() == Resources(4)
    assert (elastic.train_workers(), elastic.most_train_workers()) == (2, 5)
    assert elastic.train_worker(1) == "worker 1 of 2 to 5"
    assert list(elastic.problems(4)) == ["4 rows a global batch cannot feed 5 workers"]
    fixed = strategy(workers=3)
    assert (fixed.train_workers(), fixed.most_train_workers(), fixed.train_worker(0)) == (3, 3, "worker 0 of 3")


def test_identity_counts_the_workers_asked_for_and_not_how_often_room_is_looked_for() -> None:
    asked = counted(strategy(workers={"min": 1, "max": 2, "look_every": 5.0}, network_interface="eth0"))
    assert asked == {"kind": "data_parallel", "workers": {"min": 1, "max": 2}, "collectives": "auto"}


def test_a_min_above_its_max_is_refused() -> None:
    with pytest.raises(ValueError, match="has a min above its max"):
        strategy(workers={"min": 3, "max": 2})


def test_options_of_gpus_need_gpus() -> None:
    assert list(strategy(collectives="nccl", memory_limit_mb=900, network_interface="eth0").problems(64)) == [
        "collectives: nccl is for workers with GPUs; set gpus_per_worker",
        "memory_limit_mb is for workers with GPUs; set gpus_per_worker",
        "network_interface is for workers with GPUs; set gpus_per_worker",
    ]
    assert not list(strategy(collectives="ring", memory_limit_mb=900, gpus_per_worker=0.5).problems(64))
    assert not list(strategy(collectives="nccl", gpus_per_worker=1).problems(64))
    assert list(strategy(collectives="nccl", gpus_per_worker=0.5).problems(64)) == [
        "collectives: nccl needs a GPU for each worker; set gpus_per_worker to 1, or collectives to ring"
    ]


def test_a_network_interface_is_nccls() -> None:
    assert not list(strategy(network_interface="eth0", gpus_per_worker=1).problems(64))
    assert list(strategy(network_interface="eth0", collectives="ring", gpus_per_worker=1).problems(64)) == [
        "network_interface is NCCL's, and collectives: ring leaves NCCL out; take one of the two out"
    ]


def test_the_network_interface_is_in_the_workers_environment() -> None:
    assert strategy(network_interface="=ib0").variables() == {"NCCL_SOCKET_IFNAME": "=ib0"}
    assert strategy().variables() == {}


@pytest.mark.training
@pytest.mark.parametrize("name", ["auto", "ring", "nccl"])
def test_tensorflow_is_told_the_collectives(name: str) -> None:
    import tensorflow as tf

    options = strategy(collectives=name).communication()  # type: ignore[attr-defined]
    assert options.implementation is tf.distribute.experimental.CommunicationImplementation[name.upper()]


class TwoGpus:
    """`tf.config` of a machine with two GPUs, as far as it is used."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}
        self.threading = SimpleNamespace(set_intra_op_parallelism_threads=lambda n: self.told.update(threads=n))
        self.experimental = SimpleNamespace(set_memory_growth=lambda gpu, grows: self.told.update({gpu: grows}))

    def list_physical_devices(self, kind: str) -> list[str]:
        return ["gpu 0", "gpu 1"] if kind == "GPU" else []

    def LogicalDeviceConfiguration(self, memory_limit: int) -> str:  # noqa: N802
        return f"{memory_limit} MB"

    def set_logical_device_configuration(self, gpu: str, logical: list[str]) -> None:
        self.told[gpu] = logical


def test_a_worker_takes_a_gpus_memory_as_it_needs_it_or_up_to_its_limit() -> None:
    grows, limited = TwoGpus(), TwoGpus()
    set_up(grows, 0.5, strategy(gpus_per_worker=0.5).gpu_memory_mb())
    set_up(limited, 3.0, strategy(gpus_per_worker=0.5, memory_limit_mb=900).gpu_memory_mb())
    assert grows.told == {"threads": 1, "gpu 0": True, "gpu 1": True}
    assert limited.told == {"threads": 3, "gpu 0": ["900 MB"], "gpu 1": ["900 MB"]}
