from __future__ import annotations

import pytest

from cluster.retry import Failure, GiveUp, Retry, RetryPolicy, normalised

KILLED = Failure("worker 1 of 2: was killed by signal 9 (SIGKILL)")
TAKEN = Failure("worker 1 of 2: its node was taken away", preempted=True)


def raised(message: str, line: int = 7) -> Failure:
    text = f'Traceback (most recent call last):\n  File "/code/work.py", line {line}, in work\n    go()\n{message}\n'
    return Failure("worker 0 of 2: raised", traceback=text)


def test_failures_are_counted_against_the_limit() -> None:
    policy = RetryPolicy.of(2)
    assert policy.decide([KILLED]) == Retry(1, 2)
    assert policy.decide([KILLED, KILLED]) == Retry(2, 2)
    assert policy.decide([KILLED] * 3) == GiveUp("after 2 restarts")
    assert RetryPolicy.of(1).decide([KILLED] * 2) == GiveUp("after 1 restart")
    assert RetryPolicy.of(0).decide([KILLED]) == GiveUp()


def test_without_a_limit_deaths_are_survived_for_ever() -> None:
    decided = RetryPolicy.of("unlimited").decide([KILLED] * 500)
    assert decided == Retry(500, None)
    assert str(decided) == "500 of unlimited"


def test_the_same_error_three_times_ends_it_whatever_the_limit_is() -> None:
    policy = RetryPolicy.of("unlimited")
    first, second, third = (
        raised(f"ValueError: <Rows object at 0x7f{n}c0> has no row {n} at 10.0.0.{n}:4{n}") for n in (1, 2, 3)
    )
    assert policy.decide([first, second]) == Retry(2, None)
    assert policy.decide([first, KILLED, second, third]) == GiveUp(
        "the same error 3 times, which another attempt would repeat"
    )


def test_the_same_crash_three_times_ends_it_too() -> None:
    policy = RetryPolicy.of("unlimited")
    crashed, other = (Failure(f"pid {n}", crash=f"worker {n} of 2: SIGSEGV") for n in (0, 1))
    assert policy.decide([crashed, other, crashed, other]) == Retry(4, None)
    assert policy.decide([crashed, KILLED, crashed, other, crashed]) == GiveUp(
        "the same error 3 times, which another attempt would repeat"
    )


def test_errors_of_other_kinds_or_places_are_not_the_same() -> None:
    policy = RetryPolicy.of("unlimited")
    assert policy.decide([raised("ValueError: a", line) for line in (1, 2, 3)]) == Retry(3, None)
    assert policy.decide([raised(f"{kind}: a") for kind in ("OSError", "ValueError", "KeyError")]) == Retry(3, None)


def test_preemption_does_not_count() -> None:
    policy = RetryPolicy.of(1)
    assert policy.decide([TAKEN] * 9) == Retry(0, 1)
    assert policy.decide([TAKEN, KILLED]) == Retry(1, 1)
    assert policy.decide([KILLED, TAKEN]) == Retry(1, 1)
    assert policy.decide([KILLED, TAKEN, KILLED]) == GiveUp("after 1 restart")
    assert RetryPolicy.of(0).decide([TAKEN]) == Retry(0, 0)


def test_what_no_attempt_can_change_is_not_tried_again() -> None:
    for preempted in (False, True):
        failure = Failure("the model: has other classes", preempted=preempted, final=True)
        assert RetryPolicy.of("unlimited").decide([failure]) == GiveUp()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pid=41, ip=10.0.0.1", "pid=7, ip=10.0.0.22"),
        ("actor 9f3c77aa01b2c3d4e5f60718", "actor 00aa77aa01b2c3d4e5f60718"),
        ("at 2026-01-02T03:04:05", "at 2027-11-12T13:14:15"),
        ("<f at 0x7f00aa>", "<f at 0x55ddee01>"),
    ],
)
def test_what_differs_between_occurrences_is_left_out(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
