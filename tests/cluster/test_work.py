import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import RequestError, StepError
from cluster.resources import Resources
from cluster.work import Stopped, run_remote

pytestmark = pytest.mark.cluster


def three_times(word: str, tell: Any) -> int:
    for number in range(3):
        tell({word: number})
    return os.getpid()


def wrong(tell: Any) -> None:
    raise RequestError("the input", "is wrong", "a right one", "mend it")


def broken(tell: Any) -> None:
    raise ZeroDivisionError("by zero")


def suicide(tell: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def endless(tell: Any) -> None:
    tell({"pid": os.getpid()})
    time.sleep(600)


def tidy(path: Path, tell: Any) -> None:
    try:
        tell({"pid": os.getpid()})
        while True:
            time.sleep(0.1)
    except KeyboardInterrupt:
        path.touch()
        raise


def run(function: Any, *args: Any, told: list[dict[str, Any]], stop: threading.Event | None = None) -> Any:
    return run_remote(function, *args, resources=Resources(cpus=1), tell=told.append, stop=stop)


def test_events_come_in_order_and_the_result_from_another_process(ray_cluster: None) -> None:
    told: list[dict[str, Any]] = []
    assert run(three_times, "n", told=told) != os.getpid()
    assert told == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_process_that_is_not_kept_ends_with_its_work(ray_cluster: None) -> None:
    pid = run_remote(three_times, "n", resources=Resources(), tell=lambda event: None, ends=True)
    end = time.monotonic() + 10
    while os.path.exists(f"/proc/{pid}"):  # noqa: PTH110
        assert time.monotonic() < end
        time.sleep(0.1)


def test_who_listens_and_fails_is_warned_of_once_and_the_work_goes_on(ray_cluster: None) -> None:
    heard: list[dict[str, Any]] = []

    def fails(event: dict[str, Any]) -> None:
        heard.append(event)
        raise OSError("the tracker is gone")

    with pytest.warns(UserWarning, match="cannot be shown any more: OSError.*the tracker is gone") as warned:
        assert run_remote(three_times, "n", resources=Resources(cpus=1), tell=fails) != os.getpid()
    assert len(warned) == 1
    assert heard == [{"n": 0}]


def test_our_errors_pass_whole_and_others_become_a_failed_step(ray_cluster: None) -> None:
    with pytest.raises(RequestError, match=r"^the input: is wrong, wanted a right one; mend it$"):
        run(wrong, told=[])
    with pytest.raises(StepError, match=r"^broken: raised ZeroDivisionError\('by zero'\)"):
        run(broken, told=[])
    with pytest.raises(StepError, match=r"^suicide: its process died"):
        run(suicide, told=[])


def test_stopping_ends_the_process(ray_cluster: None) -> None:
    stop = threading.Event()
    told: list[dict[str, Any]] = []
    threading.Thread(target=stop_once_told, args=(told, stop), daemon=True).start()
    with pytest.raises(Stopped):
        run(endless, told=told, stop=stop)
    end = time.monotonic() + 30
    while os.path.exists(f"/proc/{told[0]['pid']}") and time.monotonic() < end:  # noqa: PTH110
        time.sleep(0.1)
    assert not os.path.exists(f"/proc/{told[0]['pid']}")  # noqa: PTH110


@pytest.mark.parametrize("cleans_up", [True, False])
def test_one_that_cleans_up_is_interrupted_before_it_is_killed(
    cleans_up: bool, ray_cluster: None, tmp_path: Path
) -> None:
    stop, left = threading.Event(), tmp_path / "cleaned"
    told: list[dict[str, Any]] = []
    threading.Thread(target=stop_once_told, args=(told, stop), daemon=True).start()
    with pytest.raises(Stopped):
        run_remote(tidy, left, resources=Resources(cpus=1), tell=told.append, stop=stop, cleans_up=cleans_up)
    assert left.exists() == cleans_up


def stop_once_told(told: list[dict[str, Any]], stop: threading.Event) -> None:
    end = time.monotonic() + 60
    while not told and time.monotonic() < end:
        time.sleep(0.05)
    stop.set()


TWICE = """
from cluster.resources import Resources
from cluster.session import connected
from cluster.work import run_remote

def told(number, tell):
    tell({})
    return number

for number in range(2):
    with connected("local", cpus=1):
        print(run_remote(told, number, resources=Resources(cpus=1), tell=lambda event: None))
"""


def test_a_process_may_start_one_cluster_after_another(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ["0", "1"]), done.stderr
