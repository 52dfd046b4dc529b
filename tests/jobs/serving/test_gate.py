"""The gate that a candidate passes before any request reaches it; its replica holds no model here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cluster.errors import StepError
from jobs.serving.rollout import gate
from tests.jobs.serving.replicas import CANDIDATE, NEW, OLD, RIGHT, place_of


class Gate:
    """A replica of its own that answers golden rows as slowly as told, by version."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds
        self.load = SimpleNamespace(remote=lambda asked: SimpleNamespace(result=lambda timeout_s: 0.1))
        self.tried = SimpleNamespace(
            remote=lambda version: SimpleNamespace(result=lambda timeout_s: self.rows(version))
        )

    def rows(self, version: str) -> list[Any]:
        return [{"answer": RIGHT, "seconds": self.seconds[version]}]


@pytest.mark.parametrize(
    ("new", "fields", "refused"),
    [
        (0.010, {"slower": 2.0}, ""),
        (0.012, {"slower": 2.0}, "takes 12.00 ms for a golden row, wanted at most 2 times 5.00 ms"),
        (0.012, {"slower": 3.0}, ""),
        (0.012, {"slower": 3.0, "golden_ms": 11.5}, "takes 12.00 ms for a golden row, wanted 11.5"),
        (0.010, {"golden_ms": 11.5}, ""),
    ],
)
def test_a_slower_candidate_does_not_pass_the_gate(
    monkeypatch: pytest.MonkeyPatch, new: float, fields: dict[str, Any], refused: str
) -> None:
    from ray import serve

    from jobs.serving import building

    ended: list[str] = []
    monkeypatch.setattr(building, "bound", lambda plan, cpus: None)
    monkeypatch.setattr(serve, "run", lambda *args, **named: Gate({OLD.version: 0.005, NEW.version: new}))
    monkeypatch.setattr(serve, "delete", ended.append)
    if refused:
        with pytest.raises(StepError) as caught:
            gate(place_of(**fields), CANDIDATE, OLD)
        assert str(caught.value) == f"{NEW.version}: {refused}"
    else:
        assert gate(place_of(**fields), CANDIDATE, OLD) == new
    assert ended == ["digits.gate"]
