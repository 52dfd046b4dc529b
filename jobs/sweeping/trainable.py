"""A trial as Ray Tune runs it: a long-lived process that takes one trial after another, an epoch a step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ray import tune

from cluster.folder import Folder
from jobs.checkpoints import MANIFEST, read, write
from jobs.sweeping.asking import TRIAL
from jobs.sweeping.gate import Gate
from jobs.sweeping.plan import Plan
from jobs.sweeping.schedulers.scheduler import DRAWN, ENDED, MEASURE
from jobs.sweeping.trial import Trials

WORST = 1e9  # a loss; what failed is worse than all that did not


class TrialProcess(tune.Trainable):  # type: ignore[misc]
    """Trials in one process: Tune resets it for the next one, which pays for no new process and no import."""

    def setup(self, config: dict[str, Any], plan: Plan) -> None:
        """Take the first trial."""
        self.plan = plan
        self.trials = (plan.runner or Trials)(plan)
        self.values = config[TRIAL]["values"]
        self.gate: Gate | None = None
        self.begin: Any = None
        self.curve: list[float] = []

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial, or the same with other values."""
        self._end()
        self.values, self.begin, self.curve = new_config[TRIAL]["values"], None, []
        return True

    def step(self) -> dict[str, Any]:
        """Train an epoch; with the last one, return what the trial came to."""
        if self.gate is None:
            self.gate = self.trials.gate(self.values, self.begin)
        result = self.gate.next()
        goals = self.plan.goals
        raised = goals.raised.get(goals.watched, True)
        if "last" not in result:
            self.curve.append(result[f"validation_{goals.watched}"])
            if len(self.curve) < self.plan.asked.at(self.values).train.epochs:
                return self._drawn() | {MEASURE: self.curve[-1]}
            result = self.gate.next()  # with its last epoch a trial ends, whatever a scheduler makes of that
        self._end()
        drawn = self._drawn() | {ENDED: json.dumps(result)}
        if "failed" in result:
            return drawn | {MEASURE: 0.0 if raised else WORST, "done": True}
        measured = result["measured"]
        watched = measured.get(f"float_{goals.watched}", measured[goals.watched])
        return drawn | {MEASURE: watched, "done": True}

    def _drawn(self) -> dict[str, str]:
        return {DRAWN: json.dumps({"values": self.values, "curve": self.curve})}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the state after the epoch that ended last."""
        if self.gate is not None and self.gate.keeper.progress is not None:
            write(Path(checkpoint_dir), 0, self.gate.keeper.progress)

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Go on from a state that `save_checkpoint` wrote."""
        self._end()
        folder = Folder(str(checkpoint))
        self.begin = read(folder) if folder.exists(MANIFEST) else None  # it was saved before its first epoch ended
        watched = f"validation_{self.plan.goals.watched}"
        self.curve = [getattr(epoch, watched) for epoch in self.begin.history] if self.begin else []

    def cleanup(self) -> None:
        """End the trial, and what it left."""
        self._end()
        self.trials.close()

    def _end(self) -> None:
        if self.gate is not None:
            self.gate.end()
            self.gate = None
