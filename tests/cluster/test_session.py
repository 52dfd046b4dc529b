from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.resources import Capacity, Nodes, Resources
from cluster.session import address_of, capacity, connect, cpus_here, gpus_here, memory_here

ALLOWED = len(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_the_address_asked_for_comes_before_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    assert address_of(None) is None
    assert address_of("local") is None
    assert address_of("10.0.0.1:6379") == "10.0.0.1:6379"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    assert address_of(None) == "10.0.0.2:6379"
    assert address_of("10.0.0.1:6379") == "10.0.0.1:6379"
    assert address_of("local") is None


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("max 100000", ALLOWED),
        (f"{(ALLOWED + 5) * 100_000} 100000", ALLOWED),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("nonsense", ALLOWED),
    ],
)
def test_the_cpus_are_those_this_process_may_use(tmp_path: Path, quota: str, cpus: int) -> None:
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text(f"{quota}\n")
    assert cpus_here(tmp_path) == cpus


def test_without_control_groups_the_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cpus_here(tmp_path) == ALLOWED
    monkeypatch.delitem(sys.modules, "ray", raising=False)  # as in a process that has not connected to a cluster
    assert capacity(None) == Capacity.of([Nodes(Resources(cpus_here(), gpus_here(), memory_here()), 1)])


@pytest.mark.parametrize(
    ("visible", "gpus"), [(None, 2), ("0", 1), ("0,1,2", 2), ("", 0), ("-1", 0), ("GPU-1a2b,GPU-3c4d", 2)]
)
def test_the_gpus_are_those_that_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, gpus: int
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus_here(tmp_path) == 0
    for bus in ("0000:00:1e.0", "0000:00:1f.0"):
        (tmp_path / "proc/driver/nvidia/gpus" / bus).mkdir(parents=True)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus_here(tmp_path) == gpus


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_that_does_not_answer_is_told_at_once(scheme: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        address = f"{scheme}127.0.0.1:{taken.getsockname()[1]}"
        before = time.monotonic()
        with pytest.raises(ClusterError) as caught:
            connect(address)
    assert time.monotonic() - before < 20  # Ray itself waits for minutes
    assert str(caught.value) == (
        f"cluster {address}: does not answer ([Errno 111] Connection refused); "
        "check --address, RAY_ADDRESS and the token"
    )
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ClusterError, match=f"^cluster {address}: does not answer "):
        connect(address)
