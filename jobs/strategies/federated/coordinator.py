"""The coordinator: draws clients, averages their updates, judges the result, and writes the log clients follow."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from cluster.folder import Folder
from jobs.artifacts import Dataset, Epoch, Timing
from jobs.checkpoints import LINK, read_history
from jobs.progress import Progress
from jobs.strategies.federated.accountant import epsilon
from jobs.strategies.federated.clients import Clients
from jobs.strategies.federated.division import divide, nobody_of, sizes
from jobs.strategies.federated.messages import Round, Update
from jobs.strategies.federated.sharing import check_batches, shared_weights
from jobs.strategies.federated.updates import drawn, mean, private_mean
from jobs.strategies.replicated.engine import Replicated
from jobs.strategies.timing import Calls

if TYPE_CHECKING:
    from jobs.strategies.federated.federated import Federated

STATE = "s/"  # of the server update in a checkpoint, beside the weights
ROUND = f"{STATE}round"


@dataclass
class Rounds:
    """How far one training has come: its next round and the state of the server update."""

    training: Any
    next: int = 0
    state: dict[str, Any] = field(default_factory=dict)


class Coordinator:
    """The engine of the coordinator's process; it reads no training row."""

    def __init__(self, strategy: Federated, clients: Clients, keeper: Any) -> None:
        self.replicas, self.local, self.first = 1, 1, 0
        self.phase = 0  # which training of the work it is: its keeper says so
        self._strategy, self._clients, self._keeper = strategy, clients, keeper
        self._inner = Replicated(tf.distribute.get_strategy(), workers=1, rank=0)
        self._division: Folder | None = None
        self._secret: list[int] = []
        self._rounds = Rounds(None)
        self._before = 0  # rounds of trainings that came before in the work: clients' rows were in those too
        self._sizes: list[int] = []  # rows of each client
        self._answers: list[Update] = []  # of the last round
        self._calls, self._steps = Calls(), 1

    def scope(self) -> Any:
        """Return the context in which variables are made."""
        return self._inner.scope()

    def held(self, dataset: Dataset, split: str) -> Dataset:
        """Return `dataset`, but for its training split: that is divided among the clients, and empty here."""
        if self._division is None:
            self._division = self._divided(dataset)
            self._clients.write("division", self._division)
        return Dataset.load(self._division.child(nobody_of())) if split == "train" else dataset

    def _divided(self, dataset: Dataset) -> Folder:
        strategy = self._strategy
        division: Folder = self._keeper.product("division") or self._keeper.keep(
            "division", lambda path: divide(dataset, strategy.partition, strategy.workers, path)
        )
        self._sizes = sizes(division, strategy.workers)
        rows = f"{min(self._sizes):,} to {max(self._sizes):,}" if strategy.privacy is None else ""
        self._keeper.tell({"clients": strategy.workers, "rows of each": rows})
        return division

    def steps(self, feed: Any) -> int:
        """Return one: an epoch is a round, whatever steps its clients take."""
        return 1

    def train(self, training: Any, feed: Any, first: int, last: int) -> tuple[float, float, float]:
        """Run one round and return the sums over the clients that took part: none where they are private."""
        rounds = self._of(training)
        if not rounds.next:
            check_batches(training.model, self._sizes, feed.batch_size)
        self._steps = self._strategy.local_epochs * -(-max(self._sizes) // feed.batch_size)
        weights = [variable.numpy() for variable in shared_weights(training.model)]
        key = [*self._key(training), self.phase, rounds.next]
        updates: list[Update] = []
        self._calls.reset()
        with self._calls.of(self._steps):
            for draw in count():
                updates = self._clients.round(Round(rounds.next, self._drawn([*key, 0, draw]), weights))
                if updates or self._strategy.privacy is not None:  # a private round may well draw nobody
                    break
        self._answers = updates
        self._move(training, weights, updates, [*key, 1])
        rounds.next += 1
        sums = [update.sums for update in updates if update.sums is not None]
        loss, correct, rows = (float(sum(column)) for column in zip((0, 0, 0), *sums, strict=True))
        self._clients.write("sums", (loss, correct, rows))
        return loss, correct, rows

    def _drawn(self, key: list[int]) -> list[int]:
        """Return the clients of a round: of those that live, or, where sampling counts for privacy, of all."""
        alive, private = self._clients.alive(), self._strategy.privacy is not None
        pool = self._clients.everyone() if private else alive
        return [pool[place] for place in drawn(len(pool), self._strategy.fraction, private, key)]

    def _move(self, training: Any, weights: list[Any], updates: list[Update], key: list[int]) -> None:
        """Bring the weights to where the server update takes them; what is not trained takes the plain mean."""
        strategy, changes = self._strategy, [update.change for update in updates]
        if (privacy := strategy.privacy) is not None:
            expected = strategy.fraction * strategy.workers
            average = private_mean(changes, weights, privacy.clip, privacy.noise_multiplier, expected, key)
        else:
            average = mean(changes, [update.rows or 0 for update in updates])
        trained = {id(variable) for variable in training.model.trainable_weights}
        shared = shared_weights(training.model)
        places = [place for place, variable in enumerate(shared) if id(variable) in trained]
        steps, self._rounds.state = strategy.server.step([average[place] for place in places], self._rounds.state)
        for place, step in zip(places, steps, strict=True):
            average[place] = step
        for variable, old, change in zip(shared, weights, average, strict=True):
            variable.assign(old + change)

    def evaluate(self, training: Any, feed: Any) -> tuple[float, float, float]:
        """Return the sums of loss, correct rows and rows over `feed`, which lies here."""
        sums = self._inner.evaluate(training, feed)
        self._clients.write("evaluation", sums)
        return sums

    def predict(self, model: Any, feed: Any) -> Any:
        """Return the logits of every row that lies here; of training rows there are none."""
        if not len(feed.rows):
            return np.empty((0, model.output_shape[-1]), np.float32)
        logits = self._inner.predict(model, feed)
        self._clients.write("logits", logits)
        return logits

    def first_bad_step(self) -> int | None:
        """Return the first train step of a client in the last round whose loss was not finite."""
        return min((update.bad_step for update in self._answers if update.bad_step is not None), default=None)

    def timing(self) -> Timing | None:
        """Return how long the last round took, its train steps being those of the client that makes most.

        Every client that answered was sent the weights and sent as much back. None where updates are private: who was
        drawn is a secret then.
        """
        if self._strategy.privacy is not None:
            return None
        rows = dict.fromkeys(self._clients.everyone(), 0.0) | {u.client: u.sums[2] for u in self._answers if u.sums}
        sent = sum(2 * part.nbytes for update in self._answers for part in update.change)
        return self._calls.timing(list(rows.values()), sent // self._steps)

    def read(self, training: Any) -> dict[str, Any]:
        """Return the weights, and how far the server update is."""
        rounds = self._of(training)
        weights = {name: value for name, value in self._inner.read(training).items() if name.startswith("w/")}
        state = {f"{STATE}{name}": value for name, value in rounds.state.items()}
        return weights | state | {ROUND: np.array(rounds.next)}

    def restore(self, training: Any, arrays: dict[str, Any]) -> None:
        """Put arrays that `read` returned back; what is left out stays as it is."""
        self._inner.restore(training, arrays)
        if ROUND in arrays:
            state = {name[len(STATE) :]: value for name, value in arrays.items() if name.startswith(STATE)}
            rounds = self._of(training)
            rounds.next, rounds.state = int(state.pop("round")), state

    def took_over(self, rounds: int) -> None:
        """Count the rounds of what an earlier attempt finished."""
        self._before = max(self._before, rounds)

    def facts(self) -> dict[str, float]:
        """Return how many clients answered in the last round; where updates are private, the (ε, δ) of all so far.

        All are those of every training in the work: each reads the same clients' rows.
        """
        if (privacy := self._strategy.privacy) is None:
            return {"clients": len(self._answers)}
        rounds = self._before + self._rounds.next
        spent = epsilon(privacy.noise_multiplier, self._strategy.fraction, rounds, privacy.delta)
        return {"epsilon": spent, "delta": privacy.delta}

    def _of(self, training: Any) -> Rounds:
        if self._rounds.training is not training:
            self._before += self._rounds.next
            self._rounds = Rounds(training)
        return self._rounds

    def _key(self, training: Any) -> list[int]:
        """Return what draws are keyed by: the seed, or, as the artifact shows the seed, a secret kept beside it."""
        if self._strategy.privacy is None:
            return [training.seed]
        if not self._secret:
            kept = self._keeper.product("secret") or self._keeper.keep("secret", _write_secret)
            self._secret = [int.from_bytes(kept.read_bytes("key"), "little")]
        return self._secret


class CoordinatorKeeper:
    """The keeper of the attempt; what it answers is written into the log."""

    def __init__(self, keeper: Any, clients: Clients) -> None:
        self.rank = 0
        self.keeps, self.tell = keeper.keeps, keeper.tell
        self.engine: Coordinator | None = None
        self._keeper, self._clients = keeper, clients

    def resume(self, phase: int) -> Progress | None:
        """Return the newest checkpoint of `phase`; clients learn all of it but the arrays."""
        assert self.engine is not None, "set once it is made"
        self.engine.phase = phase
        found: Progress | None = self._keeper.resume(phase)
        self._clients.write("resume", None if found is None else replace(found, arrays={}))
        return found

    def ahead(self, left: int) -> int:
        """Return all that are left: a round is one step here."""
        return left

    def wanted(self) -> bool:
        """Say whether a checkpoint must be kept now."""
        wanted: bool = self._keeper.wanted()
        return wanted

    def steps_done(self, phase: int, progress: Progress) -> None:
        """Keep a checkpoint of a round that nobody has judged yet."""
        self._keeper.steps_done(phase, progress)

    def epoch_done(self, phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
        """Keep a checkpoint of the round that ended last."""
        self._keeper.epoch_done(phase, history, arrays)

    def product(self, name: str) -> Folder | None:
        """Return the folder of a product that an attempt made whole."""
        found: Folder | None = self._keeper.product(name)
        if found is not None and found.exists(LINK) and self.engine is not None:
            self.engine.took_over(len(read_history(found)))
        self._clients.write(f"product {name}", found)
        return found

    def keep(self, name: str, fill: Any) -> Folder:
        """Make a product and keep it."""
        kept: Folder = self._keeper.keep(name, fill)
        self._clients.write(f"keep {name}", kept)
        return kept


def _write_secret(path: Path) -> None:
    (path / "key").write_bytes(secrets.token_bytes(16))
