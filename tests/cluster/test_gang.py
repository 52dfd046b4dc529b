"""Gangs: roles, calls and deaths, and that nothing stays of one, whoever ended it."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ClusterError, RequestError, StepError
from cluster.gang import Gang, Member, Role, remove_leftover
from cluster.resources import Resources
from cluster.work import run_remote

pytestmark = pytest.mark.cluster

ROLES = {"server": Role(1, Resources(cpus=0.5)), "worker": Role(2, Resources(cpus=0.5))}


class Echo(Member):
    """Says who it is."""

    def who(self, word: str) -> tuple[str, int, int, str, str]:
        return self.role, self.rank, os.getpid(), os.environ["GANG_WORD"], word

    def refuse(self) -> None:
        raise RequestError("the call", "is wrong")

    def fail(self) -> None:
        raise ZeroDivisionError("by zero")


def started(name: str, patience: float = 60) -> Gang:
    return Gang.start(name, ROLES, Echo, {"GANG_WORD": "set"}, patience)


def pids(gang: Gang) -> list[int]:
    return [answer[2] for role in ROLES for answer in gang.call_all(role, "who", "")]


def calls_and_stops(name: str, tell: Any) -> None:
    gang = started(name)
    tell({"answers": [gang.call_all(role, "who", "hello") for role in ROLES], "addresses": gang.addresses()})
    tell({"processes": [str(process) for process in gang.processes()]})
    for method in ("refuse", "fail"):
        try:
            gang.answer(("worker", 1), gang.call("worker", 1, method))
        except (RequestError, StepError) as error:
            tell({"error": f"{type(error).__name__}: {error}"})
    gang.stop()


def kills_one(name: str, tell: Any) -> None:
    gang = started(name)
    tell({"pids": pids(gang), "fallen": [str(f) for f in gang.poll()]})
    os.kill(gang.answer(("worker", 1), gang.call("worker", 1, "who", ""))[2], signal.SIGKILL)
    fallen = wait_for(gang.poll)
    tell({"fallen": [str(f) for f in fallen], "log": fallen[0].death.log, "again": gang.poll()})
    try:
        gang.call_all("worker", "who", "")
    except StepError as error:
        tell({"error": str(error)})
    gang.stop()


class Owner:
    """An actor that owns a gang, as a worker of Ray Train does."""

    def start(self, name: str) -> list[int]:
        return pids(started(name))

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def wait_for(found: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < end:
        time.sleep(0.1)
    return value


def assert_gone(told: list[dict[str, Any]], name: str) -> None:
    (ours,) = [event["pids"] for event in told if "pids" in event]
    assert len(ours) == 3
    assert wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ours))
    assert not remove_leftover(name)


def run(function: Any, name: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    run_remote(function, name, resources=Resources(), tell=told.append)
    return told


def test_members_know_their_role_and_rank_and_errors_name_them(ray_cluster: None) -> None:
    answered, processes, *errors = run(calls_and_stops, "calls")
    (server,), workers = answered["answers"]
    assert [(role, rank, env, word) for role, rank, _, env, word in [server, *workers]] == [
        ("server", 0, "set", "hello"),
        ("worker", 0, "set", "hello"),
        ("worker", 1, "set", "hello"),
    ]
    addresses = [address for role in ROLES for address in answered["addresses"][role]]
    assert len(set(addresses)) == 3
    assert all(re.fullmatch(r"[0-9.]+:\d+", address) for address in addresses)
    for (role, rank, pid, *_), process in zip([server, *workers], processes["processes"], strict=True):
        assert re.fullmatch(rf"{role} {rank}: pid {pid} on [0-9.]+", process), process
    assert [event["error"] for event in errors] == [
        "RequestError: the call: is wrong",
        "StepError: worker 1: raised ZeroDivisionError('by zero')",
    ]
    assert not remove_leftover("calls")


def test_a_killed_member_is_seen_once_with_role_rank_and_signal(ray_cluster: None) -> None:
    told = run(kills_one, "killed")
    before, after, error = told
    assert before["fallen"] == []
    pid = before["pids"][2]
    (said,) = after["fallen"]
    assert re.fullmatch(rf"worker 1: \(pid {pid} on [0-9.]+\) was killed by signal 9 \(SIGKILL\)", said), said
    assert after["again"] == []
    assert error["error"] == f"{said}; its log: {after['log']}"
    assert_gone(told, "killed")


def test_members_end_with_a_killed_owner_and_the_next_gang_of_that_name_removes_what_is_left(ray_cluster: None) -> None:
    import ray

    first, second = (ray.remote(num_cpus=0, max_restarts=0)(Owner).remote() for _ in range(2))
    ours = ray.get(first.start.remote("left"))
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(first.die.remote())
    told = [{"pids": ours}]
    again = ray.get(second.start.remote("left"))
    assert not set(ours) & set(again)
    ray.kill(second)
    assert remove_leftover("left")
    assert_gone(told, "left")
    assert_gone([{"pids": again}], "left")


def test_what_the_cluster_cannot_give_is_an_error_that_leaves_nothing(ray_cluster: None) -> None:
    roles = {"worker": Role(2, Resources(cpus=2, gpus=1))}
    with pytest.raises(ClusterError, match=r"^gang large: was not given 4 CPU, 2 GPU in 1 s$"):
        Gang.start("large", roles, Echo, patience=1)
    assert not remove_leftover("large")
