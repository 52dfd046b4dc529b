from __future__ import annotations

from cluster.resources import Resources
from pipelines.running.waiting import Waiting

SMALL, LARGE = Resources(1), Resources(4, 1)


def line() -> Waiting:
    waiting = Waiting({"a": SMALL, "b": LARGE, "c": SMALL, "d": SMALL})
    for name in "dbca":
        waiting.add(name)
    return waiting


def test_what_fits_comes_in_the_order_of_the_run() -> None:
    assert list(line().that_fit(lambda asked: True)) == ["a", "b", "c", "d"]
    assert list(line().that_fit(lambda asked: asked.fits(Resources(2)))) == ["a", "c", "d"]


def test_who_is_taken_out_waits_no_more() -> None:
    waiting = line()
    for name in "cb":
        waiting.remove(name)
    assert list(waiting.that_fit(lambda asked: True)) == ["a", "d"]


def test_each_size_is_asked_for_once() -> None:
    asked: list[Resources] = []

    def fits(size: Resources) -> bool:
        asked.append(size)
        return False

    assert list(line().that_fit(fits)) == []
    assert sorted(asked, key=lambda size: size.cpus) == [SMALL, LARGE]
