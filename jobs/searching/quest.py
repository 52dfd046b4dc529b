"""What a method is given: the trials to make, the candidates within the limits, and where work goes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from cluster.errors import StepError
from cluster.work import Channel
from jobs.job import Output
from jobs.searching.agreement import kendall
from jobs.searching.candidates import Candidate, Costs, Key, beyond, kept, key, settled
from jobs.sweeping.driving import run_sweep
from jobs.sweeping.plan import Plan
from jobs.sweeping.searchers import Proposing
from jobs.sweeping.space import Values, value_at
from jobs.sweeping.trials import Trials, read_table

CANDIDATES = "candidates.json"


@dataclass(frozen=True)
class Quest:
    """A search as its method sees it; picklable but for `out`."""

    plan: Plan  # without trials yet
    candidates: list[Candidate]
    costs: Costs
    retries: int | str = 0

    def tell_refused(self, out: Output) -> None:
        """Say how many candidates are beyond the limits; StepError when all are."""
        left, limits = kept(self.candidates), self.plan.goals.limits
        out.tell({"candidates": len(self.candidates), "refused before training": len(self.candidates) - len(left)})
        if not left:
            raise StepError(
                f"step '{out.step}'",
                f"none of {len(self.candidates)} candidates keeps the limits (the first: {self.candidates[0].refused})",
                ", ".join(f"{name} at most {limit:g}" for name, limit in limits.items()),
                "raise subject_to, or let the space hold smaller ones",
            )

    def trials(self, searcher: Proposing, count: int, own: bool) -> Plan:
        """Return the trials of `searcher`; if `own`, the definition's own values are the first, where within limits."""
        return replace(self.plan, searcher=searcher, trials=count, costs=self.costs, own=own and self.keeps_own())

    def own(self) -> Values:
        """Return the definition's own values of the fields of the space."""
        space = self.plan.space
        return settled(space, {name: value_at(self.plan.asked.train, name)[0] for name in space})

    def keeps_own(self) -> bool:
        """Say whether the definition's own values keep the limits."""
        return not beyond(self.costs(self.own()), self.plan.goals)

    def scored(self, method: Any, out: Output) -> dict[Key, float]:
        """Train the weights that candidates share on the cluster and return their scores; once."""
        from jobs.searching.inherited import SCORES, SupernetWork
        from jobs.strategies.ray_train import Group, run

        train, place = self.plan.asked.train, out.checkpoints.child("supernet")
        wanted = {"plan": self.plan.identity(), "method": method.model_dump(mode="json", exclude={"check"})}
        text = json.dumps(wanted, sort_keys=True).encode()
        if not place.exists("asked.json") or place.read_bytes("asked.json") != text:
            place.delete()
            place.write_bytes("asked.json", text)
        if not place.exists(SCORES):
            goals, space = self.plan.goals, self.plan.space
            shared = [candidate for candidate in self.candidates if candidate.costs]
            work = SupernetWork(method, shared, self.costs, space, goals, train.recipe(), self.plan.data, place)
            run(Group(work, train.strategy, f"{out.step}-shared", place, self.retries, train.keep), out)
        found = json.loads(place.read_bytes(SCORES))
        return {key(row["values"]): row["accuracy"] for row in found}


def run_trials(quest: Quest, plan: Plan, out: Any, tell: Channel) -> None:
    """Run the trials that are left, and write what all candidates came to into `out`."""
    run_sweep(plan, out, tell)
    agreement = conclude(quest, out)
    if agreement is not None:
        tell({"ranking's agreement (Kendall's τ)": round(agreement, 3)})


def conclude(quest: Quest, out: Any) -> float | None:
    """Add to the trials in `out` what is known of all candidates; return how far shared weights ranked them right."""
    agreement = _agreement(quest, out)
    rows = [candidate.model_dump(mode="json") for candidate in quest.candidates]
    out.write_bytes(CANDIDATES, json.dumps(rows).encode())
    found = {"candidates": len(rows), "refused": sum(bool(row["refused"]) for row in rows), "agreement": agreement}
    Trials.load(out).model_copy(update=found).save(out)
    return agreement


def _agreement(quest: Quest, out: Any) -> float | None:
    """Return how a supernet's scores rank candidates as trainings alone do; None of fewer than two, or unscored."""
    scores = {key(c.values): c.score for c in quest.candidates if c.score is not None}
    rows = [row for row in read_table(out.fetch()) if row["status"] == "finished" and key(row["values"]) in scores]
    alone = [row.get("float_accuracy") or row["accuracy"] for row in rows]
    return kendall([scores[key(row["values"])] for row in rows], alone) if len(rows) > 1 else None
