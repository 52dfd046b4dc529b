"""What the worker of a supernet does: train the shared weights, then score candidates with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.data.feed import Feed
from jobs.recipe import TrainRecipe
from jobs.searching.candidates import COUNTED, Candidate, Costs, kept, key
from jobs.searching.methods.supernet import Supernet
from jobs.sweeping.goals import TRAINED, Goals
from jobs.sweeping.searchers import Outcome, Searcher
from jobs.sweeping.space import Space, Values

SCORES = "scores.json"
ROWS = 256  # validation rows at once


@dataclass(frozen=True)
class SupernetWork:
    """Trains weights that `candidates` share and leaves the scores of those not refused in `out`; picklable.

    Candidates beyond the limits are there too: the others may have no layout that all are parts of.
    """

    method: Supernet
    candidates: list[Candidate]
    costs: Costs
    space: Space
    goals: Goals
    recipe: TrainRecipe
    data: Folder
    out: Folder

    def __call__(self, engine: Any, keeper: Any) -> None:
        """Train and score."""
        from jobs.training import feeds_of, preprocessing

        dataset = Dataset.load(self.data)
        folder, preprocess = preprocessing(self.costs.model, dataset, keeper, "preprocess")
        recipe = self.recipe.model_copy(update={"epochs": self.method.epochs, "precision": "float32"})
        feeds = feeds_of(dataset, preprocess, folder, recipe, engine.held)
        shared = self._trained(engine, keeper, feeds, preprocess, folder, recipe)
        keeper.tell({"start": "scoring candidates"})
        plain = Feed(feeds[0].rows, min(self.method.calibration, len(feeds[0].rows)), None)
        scorer = Scorer(shared, plain, feeds[1].rows)
        places = {key(candidate.values): place for place, candidate in enumerate(self.candidates)}
        found = [{"values": values, **scorer(places[key(values)])} for values in self._asked(scorer, places)]
        self.out.write_bytes(SCORES, json.dumps(found).encode())

    def _trained(self, engine: Any, keeper: Any, feeds: Any, preprocess: Any, folder: Any, recipe: TrainRecipe) -> Any:
        from jobs.fit import fit
        from jobs.models.architecture.elastic import Elastic
        from jobs.models.model import in_head
        from jobs.optimizers import train_optimizer_of
        from jobs.searching.shrinking import Sandwich
        from jobs.training import class_weights

        specs = [self.costs.of(candidate.values) for candidate in self.candidates]
        classes, train_steps = Dataset.load(self.data).classes, recipe.epochs * feeds[0].steps
        with engine.scope():
            shared = Elastic(specs, preprocess, self.costs.image, len(classes), recipe.seed, folder)
            optimizer = train_optimizer_of(recipe, train_steps, in_head)
        weights, model = class_weights(recipe, classes, feeds[0].rows.y), self.costs.model
        training = Sandwich(
            shared, optimizer, recipe.seed, model.l1, model.l2, recipe.label_smoothing, weights,
            phases=self._phases(specs), train_steps=train_steps, sampled=self.method.sampled, distil=self.method.distil,
        )  # fmt: skip
        keeper.tell({"start": "training the shared weights", "epochs": recipe.epochs})
        fit(engine, training, feeds[0], feeds[1], recipe, keeper, 0, "supernet")
        return shared

    def _phases(self, specs: Any) -> list[list[int]]:
        """Return the candidates of each phase: of those that are not refused, if there are any."""
        from jobs.searching.shrinking import phases

        allowed = {place for place, candidate in enumerate(self.candidates) if not candidate.refused}
        return [[place for place in phase if place in allowed] or phase for phase in phases(specs)]

    def _asked(self, scorer: Scorer, places: dict[Any, int]) -> Iterator[Values]:
        """Yield the candidates to score: all, or as many as may be scored, bred from the best (NSGA-II)."""
        from jobs.searching.among import Among

        allowed = [candidate.values for candidate in kept(self.candidates)]
        if len(allowed) <= self.method.scored:
            yield from allowed
            return
        known = (*TRAINED, *COUNTED)
        raised = {name: up for name, up in self.goals.raised.items() if name in known} or {"accuracy": True}
        goals = Goals(raised, {name: limit for name, limit in self.goals.limits.items() if name in known})
        bred = Searcher.choose({"kind": "nsga2", "seed": self.method.seed})
        search = Among(bred, allowed).search(self.space, goals, self.method.scored)
        for _ in range(self.method.scored):
            asked = search.ask()
            assert asked is not None, "there are more candidates than are scored"
            token, values = asked
            place = places[key(values)]
            outcome = Outcome(scorer(place) | self.candidates[place].costs)
            if token is None:
                search.replay(values, outcome)
            else:
                search.tell(token, outcome)
            yield values


class Scorer:
    """Scores candidates on validation rows with shared weights, batch normalisation recalibrated for each."""

    def __init__(self, shared: Any, calibration: Feed, validation: Any) -> None:
        self.shared, self.rows = shared, validation
        self.calibration = calibration.read(0, 0, 1).x
        self.known: dict[int, dict[str, float]] = {}

    def __call__(self, candidate: int) -> dict[str, float]:
        """Return `accuracy` and `loss` (mean cross-entropy)."""
        if candidate not in self.known:
            self.known[candidate] = self._scored(candidate)
        return self.known[candidate]

    def _scored(self, candidate: int) -> dict[str, float]:
        import numpy as np
        import tensorflow as tf

        statistics = self.shared.calibrated(self.calibration, candidate)
        correct, loss, count = 0.0, 0.0, len(self.rows)
        for first in range(0, count, ROWS):
            x, y = self.rows.gather(np.arange(first, min(first + ROWS, count)))
            logits = self.shared.answers(x, candidate, statistics)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y.astype(np.int32), logits)
            correct += float((logits.numpy().argmax(1) == y).sum())
            loss += float(tf.reduce_sum(losses))
        return {"accuracy": correct / count, "loss": loss / count}
