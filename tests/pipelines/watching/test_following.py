from __future__ import annotations

from typing import Any

import pytest

from pipelines.watching.following import Followed


class Heard:
    """Keeps what it is told, and fails from a certain word on."""

    def __init__(self, fails_at: str = "") -> None:
        self.told: list[str] = []
        self.fails_at = fails_at
        self.inside = False

    def __enter__(self) -> Heard:
        self.inside = True
        return self

    def __exit__(self, *error: object) -> None:
        self.inside = False

    def __call__(self, step: str, state: str, details: dict[str, Any]) -> None:
        if state == self.fails_at:
            raise ConnectionError("nobody there")
        self.told.append(f"{step} {state}")


def test_one_that_fails_is_told_no_more_and_the_others_are(capsys: pytest.CaptureFixture[str]) -> None:
    screen, good, bad = Heard(), Heard(), Heard(fails_at="done")
    with Followed(screen, [bad, good]) as followed:
        inside = (good.inside, bad.inside)
        for step, state in (("a", "running"), ("a", "done"), ("b", "running")):
            followed(step, state, {})
    assert screen.told == good.told == ["a running", "a done", "b running"]
    assert bad.told == ["a running"]
    assert (inside, good.inside, bad.inside) == ((True, True), False, False)
    told = "warning: Heard is told no more of this run: ConnectionError: nobody there\n"
    assert capsys.readouterr().err == told
