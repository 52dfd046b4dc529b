from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.postmortem import death

DIED = (
    "The actor died unexpectedly before finishing this task.\n\tpid: 4711\n\tip: 10.0.0.7\n"
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: "
)
DEAD = (
    f"{DIED}Worker unexpectedly exits with a connection error code 2. End of file. Some common causes "
    "include: (1) the process was killed by the OOM killer due to high memory usage, (2) ray stop --force was called, "
    "or (3) the worker crashed unexpectedly due to SIGSEGV or another unexpected error."
)
LEFT = f"{DIED}Worker exits unexpectedly. Worker exits with an exit code {{}}."


def test_a_process_that_left_no_word_was_killed_by_signal_9(tmp_path: Path) -> None:
    log = tmp_path / "worker-abc-01000000-4711.err"
    log.write_text("all well\n")
    end = death(DEAD, tmp_path)
    assert str(end) == "(pid 4711 on 10.0.0.7) was killed by signal 9 (SIGKILL)"
    assert end.log == str(log)


def test_a_signal_that_the_log_tells_of_is_named(tmp_path: Path) -> None:
    (tmp_path / "worker-abc-01000000-4711.err").write_text("*** SIGSEGV received at time=1 on cpu 0 ***\n")
    assert death(DEAD, tmp_path).found == "was killed by signal 11 (SIGSEGV)"


def test_who_was_asked_to_end_or_left_by_itself_was_not_killed_by_signal_9(tmp_path: Path) -> None:
    for logs in (tmp_path, None):  # Ray's text alone tells
        (tmp_path / "worker-abc-01000000-4711.err").write_text("all well\n")
        terminated = f"{LEFT.format(1)} The process receives a SIGTERM."
        assert death(terminated, logs).found == "was killed by signal 15 (SIGTERM)"
        assert death(LEFT.format(3), logs).found == "ended with exit code 3"
        assert death(LEFT.format(None), logs).found == "died"
    assert death(f"{DIED}The leased worker has unrecoverable failure.", tmp_path).found == "died"


def test_without_the_log_on_this_node_it_says_where_to_look(tmp_path: Path) -> None:
    end = death(DEAD, tmp_path)
    assert (end.found, end.log) == ("died", "worker-*-4711.err in the Ray logs on 10.0.0.7")


class Doomed:
    """An actor that ends as it is told to."""

    def pid(self) -> int:
        return os.getpid()

    def kill(self, number: int) -> None:
        os.kill(os.getpid(), number)
        signal.pause()

    def leave(self, code: int) -> None:
        sys.exit(code)


@pytest.mark.cluster
def test_what_ray_says_of_each_end_is_understood(ray_cluster: None) -> None:
    import ray

    logs = Path(ray._private.worker.global_worker.node.get_session_dir_path()) / "logs"

    def found(method: str, argument: int) -> str:
        actor: Any = ray.remote(num_cpus=0, max_restarts=0)(Doomed).remote()
        ray.get(actor.pid.remote())
        with pytest.raises(ray.exceptions.RayActorError) as caught:
            ray.get(getattr(actor, method).remote(argument), timeout=60)
        return death(str(caught.value), logs).found

    assert [found("kill", number) for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV)] == [
        "was killed by signal 9 (SIGKILL)",
        "was killed by signal 15 (SIGTERM)",
        "was killed by signal 11 (SIGSEGV)",
    ]
    assert found("leave", 3) == "ended with exit code 3"
