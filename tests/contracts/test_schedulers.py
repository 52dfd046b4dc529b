"""What every scheduler promises: what it stops, what it lets go on, and that it names the best trial."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from cluster.folder import Folder
from jobs.sweeping.driving import drive
from jobs.sweeping.schedulers import Scheduler
from jobs.sweeping.trials import Trials, read_table
from tests.jobs.sweeping.synthetic import EPOCHS, plan_of

pytestmark = pytest.mark.cluster

WIDE = {"model.dropout": {"kind": "uniform", "low": 0.0, "high": 0.95}}
TRIALS = 9
OWN = EPOCHS * 0.4  # what the definition's own dropout of 0.9 comes to


Swept = Callable[..., tuple[Trials, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def swept(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Return what runs a sweep under a scheduler; the same one only once."""

    @cache
    def run(scheduler: str, **options: Any) -> tuple[Trials, list[dict[str, Any]]]:
        root = tmp_path_factory.mktemp(scheduler)
        plan = plan_of(root, WIDE, TRIALS, scheduler={"kind": scheduler, **options})
        drive(plan, Folder(str(root / "out")), lambda event: None)
        return Trials.load(Folder(str(root / "out"))), read_table(root / "out")

    return run


@pytest.mark.parametrize("kind", Scheduler.members())
def test_the_best_trial_goes_to_its_end(kind: str, swept: Swept) -> None:
    trials, rows = swept(kind)
    assert [row["number"] for row in rows] == list(range(TRIALS))
    assert trials.failed == 0
    winner = rows[trials.best]
    assert (winner["status"], len(winner["curve"])) == ("finished", EPOCHS)
    assert winner["accuracy"] == max(row["accuracy"] for row in rows if row["status"] == "finished")
    assert winner["accuracy"] > OWN + 1
    if not Scheduler.member(kind).changes:  # type: ignore[union-attr]
        nearest = min(rows, key=lambda row: abs(row["values"]["model.dropout"] - 0.3))
        assert trials.best == nearest["number"]


def test_none_stops_nothing(swept: Swept) -> None:
    trials, _ = swept("none")
    assert (trials.finished, trials.stopped, trials.epochs) == (TRIALS, 0, TRIALS * EPOCHS)


@pytest.mark.parametrize(("kind", "least"), [("asha", 3), ("hyperband", 3), ("median", 1)])
def test_bad_trials_are_stopped_early(kind: str, least: int, swept: Swept) -> None:
    trials, rows = swept(kind)
    assert trials.stopped >= least
    assert trials.epochs <= TRIALS * EPOCHS - 3 * least
    stopped = [row for row in rows if row["status"] == "stopped"]
    assert all(0 < len(row["curve"]) < EPOCHS and row["accuracy"] is None for row in stopped)


def test_asha_stops_at_its_rungs_alone(swept: Swept) -> None:
    _, rows = swept("asha")
    assert {len(row["curve"]) for row in rows if row["status"] == "stopped"} <= {1, 3}


@pytest.mark.parametrize("kind", ["pbt", "pb2"])
def test_the_worst_take_over_the_weights_and_values_of_the_best(kind: str, swept: Swept) -> None:
    _, rows = swept(kind)
    first = rows[0]  # it began with a dropout of 0.9, which brings 0.4 an epoch
    assert first["values"]["model.dropout"] != 0.9
    assert first["accuracy"] > OWN + 1
    assert first["curve"][0] != pytest.approx(0.4)  # it is what another's weights came to
    assert first["curve"][0] in [row["curve"][0] for row in rows[1:]]
