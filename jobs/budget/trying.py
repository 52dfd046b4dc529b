"""What the workers of a compression within a budget do: try chains one after another, and make the best for good.

Each chain is fine-tuned under the step's own strategy. Chains that begin alike share what they trained; what ended is
kept, so that a search that is interrupted goes on with the next chain.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cluster.errors import FinalError, StepError
from cluster.folder import Folder
from jobs.artifacts import Epoch, Model
from jobs.budget.chains import PARTS, digest_of, part_at, parts_of, space_over
from jobs.budget.record import Budget, Tried
from jobs.budget.within import Within
from jobs.compressing import CompressWork
from jobs.models.model import ModelSpec
from jobs.progress import Progress
from jobs.spec import Spec
from jobs.sweeping.goals import Goals
from jobs.sweeping.judged import judged
from jobs.sweeping.searchers import Outcome
from jobs.sweeping.space import Space, Values, replaced, value_at
from jobs.sweeping.summing_up import limits_in_words, nearest
from jobs.techniques import Technique

AGREED = "agreed.json"
LONGEST = 16  # techniques of a chain: as many phases has each trial
SLACK = 1e-9  # 0.98 - 0.01 is not 0.97 in binary


class TrialKeeper:
    """A keeper of the group's for one chain: phases of its own, products by what the chain was when they were made."""

    def __init__(self, keeper: Any, number: int, work: CompressWork) -> None:
        self.keeper, self.first, self.techniques = keeper, number * LONGEST, work.techniques
        self.rank, self.keeps = keeper.rank, keeper.keeps
        self.tell, self.ahead, self.wanted = keeper.tell, keeper.ahead, keeper.wanted

    def resume(self, phase: int) -> Progress | None:
        """Return the newest checkpoint of the chain's own phase."""
        found: Progress | None = self.keeper.resume(self.first + phase)
        return found

    def steps_done(self, phase: int, progress: Progress) -> None:
        """Keep a checkpoint within an epoch."""
        self.keeper.steps_done(self.first + phase, progress)

    def epoch_done(self, phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
        """Keep a checkpoint of an epoch."""
        self.keeper.epoch_done(self.first + phase, history, arrays)

    def product(self, name: str) -> Folder | None:
        """Return what a chain that began alike has made."""
        found: Folder | None = self.keeper.product(self._shared(name))
        return found

    def keep(self, name: str, fill: Callable[[Path], None]) -> Folder:
        """Keep it for chains that begin alike."""
        made: Folder = self.keeper.keep(self._shared(name), fill)
        return made

    def _shared(self, name: str) -> str:
        """Return the name of a product that so many techniques made as the number says that `name` ends in."""
        return f"{name[:-3]}-{digest_of(self.techniques[: int(name[-3:])])}"


class Drawn(Spec):
    """A chain whose fields are drawn."""

    techniques: list[Technique]


@dataclass(frozen=True)
class BudgetWork:
    """Looks for the chain that keeps `within`, and leaves what it makes, and all that was tried, as `work` would."""

    work: CompressWork
    within: Within
    step: str

    def __call__(self, engine: Any, keeper: Any) -> None:
        """Try chains in every worker; worker 0 draws, judges and writes."""
        before = agreed(keeper, "before", lambda: judged(self.work.model, self.work.data, True))
        goals = self.within.goals(before)
        tried = list(self._tried(engine, keeper, goals))
        measured = {trial.number: trial.measured for trial in tried if trial.measured}
        best = self._best(goals, measured, tried)
        keeper.tell({"chosen": best, "chain": _called(tried[best]), "measured": measured[best]})
        self._run(best, tried[best].values, self.work.out, engine, keeper)
        if keeper.rank:
            return
        front = {[*measured][index] for index in goals.front([*measured.values()])}
        marked = [t.model_copy(update={"front": t.number in front, "chosen": t.number == best}) for t in tried]
        budget = Budget(before=before, limits=dict(goals.limits), choose=self.within.choose, tried=marked)
        Model.load(self.work.out).model_copy(update={"budget": budget}).save(self.work.out)

    def _best(self, goals: Goals, measured: Mapping[int, Mapping[str, float]], tried: list[Tried]) -> int:
        """Return the chain that keeps the promise best; FinalError names the nearest when none does."""
        if not measured:
            raise FinalError(f"step '{self.step}'", "every chain failed", remedy=tried[0].failed)
        slack = {name: limit - SLACK if name == "accuracy" else limit for name, limit in goals.limits.items()}
        best = replace(goals, limits=slack).best(measured)
        if best is None:
            near, shown = nearest(goals, measured)
            text = f"no chain keeps the promise; the nearest, chain {near} ({_called(tried[near])}), has {shown}"
            raise FinalError(f"step '{self.step}'", text, limits_in_words(goals), "loosen within, or widen its space")
        return best

    def _tried(self, engine: Any, keeper: Any, goals: Goals) -> Iterator[Tried]:
        """Yield the chains one after another, each with what came of it."""
        spec = ModelSpec.model_validate(Model.load(self.work.model).spec)
        parts = parts_of(self.work.techniques, spec.backbone, self.work.strategy)
        space = space_over(parts, self.within.space)
        search = self.within.searcher.search(space, goals, self.within.trials) if space else None
        for number in range(self.within.trials):
            values = agreed(keeper, f"asked{number:03d}", partial(self._draw, number, search, space, parts))["values"]
            if values is None:
                return
            ended = self._ended(number, values, engine, keeper)
            trial = Tried(number=number, chain=self._kinds(values), values=values, **ended)
            if search is not None:
                search.replay(values, Outcome(trial.measured))
            keeper.tell({"tried": number, "of": self.within.trials, "chain": _called(trial)} | ended)
            yield trial

    def _draw(self, number: int, search: Any, space: Space, parts: list[str]) -> dict[str, Any]:
        """Return the values of the next chain, the definition's own first; None when there are no more."""
        if number == 0:
            own = {path: value_at(self._drawn({}), path)[0] for path in self.within.space}
            return {"values": own | ({PARTS: parts[0]} if PARTS in space else {})}
        asked = search.ask() if search is not None else None
        return {"values": None if asked is None else asked[1]}

    def _ended(self, number: int, values: Values, engine: Any, keeper: Any) -> dict[str, Any]:
        """Return what came of a chain, made now or by an earlier attempt."""
        kept = keeper.product(f"ended{number:03d}")
        if kept is None:
            with tempfile.TemporaryDirectory(prefix="espalier-chain-") as scratch:
                out, failed = Folder(scratch).child("model"), ""
                try:
                    self._run(number, values, out, engine, keeper)
                except StepError as error:  # a promise that is broken, or a loss that is no number
                    failed = str(error)
                return agreed(keeper, f"ended{number:03d}", partial(self._found, out, failed))
        return dict(json.loads(kept.read_bytes(AGREED)))

    def _found(self, out: Folder, failed: str) -> dict[str, Any]:
        return {"failed": failed} if failed else {"measured": judged(out, self.work.data, True)}

    def _run(self, number: int, values: Values, out: Folder, engine: Any, keeper: Any) -> None:
        techniques = part_at(self._drawn(values).techniques, values)
        exports = self.work.exports if out == self.work.out else ()
        work = replace(self.work, techniques=techniques, out=out, exports=exports)
        work(engine, TrialKeeper(keeper, number, work))

    def _drawn(self, values: Values) -> Drawn:
        return replaced(Drawn(techniques=self.work.techniques), {p: v for p, v in values.items() if p != PARTS})

    def _kinds(self, values: Values) -> list[str]:
        return [str(technique.model_dump()["kind"]) for technique in part_at(self.work.techniques, values)]


def agreed(keeper: Any, name: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `find` returns in worker 0, as JSON values, in every worker and after every restart."""
    kept = keeper.product(name) or keeper.keep(name, lambda path: (path / AGREED).write_text(json.dumps(find())))
    return dict(json.loads(kept.read_bytes(AGREED)))


def _called(trial: Tried) -> str:
    drawn = [f"{path} {value}" for path, value in trial.values.items() if path != PARTS]
    return ", ".join([" → ".join(trial.chain), *drawn])
