from __future__ import annotations

import errno

from cluster.errors import DeathError, FinalError, PreemptedError, RequestError, StepError
from cluster.retry import Retry, RetryPolicy
from jobs.strategies.failing import blamed

DEAD = "The actor died unexpectedly.\n\tpid: 4711\n\tip: 10.0.0.7\nThe actor is dead."


def name(rank: int) -> str:
    return f"worker {rank} of 2"


class Lost(Exception):  # noqa: N818
    """What TensorFlow raises in a worker that lost another."""

    __module__ = "tensorflow.python.framework.errors_impl"


LOST = Lost("Collective ops is aborted")


def test_our_own_error_is_to_blame_and_stays_as_it_is() -> None:
    found = blamed({0: LOST, 1: StepError("loss is NaN at train_step 3")}, name)
    assert str(found.error) == "loss is NaN at train_step 3"
    assert not found.failure.final
    assert str(found.ended("after 2 restarts")) == "loss is NaN at train_step 3: after 2 restarts"
    for kind in (RequestError, FinalError):
        assert blamed({0: kind("the model", "has other classes")}, name).failure.final


def test_a_death_is_to_blame_before_what_it_broke() -> None:
    found = blamed({0: LOST, 1: RuntimeError(DEAD)}, name)
    assert found.failure.what == "worker 1 of 2: (pid 4711 on 10.0.0.7) died"
    assert found.failure.log == "worker-*-4711.err in the Ray logs on 10.0.0.7"
    assert found.failure.traceback == ""
    assert str(found.ended("after 1 restart")) == (
        "worker 1 of 2: (pid 4711 on 10.0.0.7) died, after 1 restart; "
        "its log: worker-*-4711.err in the Ray logs on 10.0.0.7"
    )


def test_a_crash_is_told_from_a_kill_wherever_it_was_found() -> None:
    found = "(pid 4711 on 10.0.0.7) was killed by signal {}"
    crashed, killed = (DeathError("server 0", found.format(signal)) for signal in ("11 (SIGSEGV)", "9 (SIGKILL)"))
    assert blamed({0: crashed}, name).failure.crash == "server 0: SIGSEGV"
    assert blamed({0: killed}, name).failure.crash == ""


def test_a_death_with_a_node_that_was_taken_away_is_no_failure() -> None:
    assert blamed({0: PreemptedError("server 0", "died")}, name).failure.preempted
    assert not blamed({0: DeathError("server 0", "died")}, name).failure.preempted


def test_a_bug_is_to_blame_before_what_the_others_lost() -> None:
    bug = ValueError("no such row")
    bug.add_note("Traceback of the bug")
    found = blamed({0: LOST, 1: bug}, name)
    assert str(found.error) == "worker 1 of 2: raised ValueError('no such row')"
    assert found.failure.traceback == "Traceback of the bug"


def test_a_full_disk_is_named() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert str(blamed({0: full}, name).error) == (
        "worker 0 of 2: found the disk full (ENOSPC: [Errno 28] No space left on device); free some space"
    )


def test_a_worker_that_lost_another_says_so() -> None:
    gone = type("UnavailableError", (Lost,), {"__module__": Lost.__module__})("failed to connect to all addresses")
    assert str(blamed({0: gone}, name).error) == (
        "worker 0 of 2: raised UnavailableError('failed to connect to all addresses'): a process it trained with was "
        "lost, as its node may be"
    )


def test_however_often_another_is_lost_it_is_no_bug() -> None:
    failures = []
    for port in (1001, 1002, 1003):
        gone = type("UnavailableError", (Lost,), {"__module__": Lost.__module__})(f"failed to connect to port {port}")
        gone.add_note("Traceback of what the survivor called")
        failures.append(blamed({0: gone}, name).failure)
    assert RetryPolicy(None).decide(failures) == Retry(3, None)
