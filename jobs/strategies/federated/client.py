"""One client: a process that reads its own rows alone, trains on them when it is drawn, and sends what it learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from cluster.folder import Folder
from cluster.gang import Member
from jobs.artifacts import Dataset, Timing
from jobs.optimizers import rates_of
from jobs.progress import Progress
from jobs.strategies.devices import set_up_devices
from jobs.strategies.federated.division import client_of, nobody_of
from jobs.strategies.federated.messages import Round, Terms, Update
from jobs.strategies.federated.sharing import shared_weights
from jobs.strategies.federated.updates import clipped
from jobs.strategies.replicated.engine import Replicated


class Line:
    """A client's end of the hub: reads the coordinator's log entry by entry, and delivers updates."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._at = 0

    def read(self) -> tuple[str, Any]:
        """Return name and value of the next entry."""
        import ray

        entry: tuple[str, Any] = ray.get(self._hub.entry.remote(self._at))
        self._at += 1
        return entry

    def next(self, name: str) -> Any:
        """Return the value of the next entry, which must be called `name`: all processes do the same work."""
        found, value = self.read()
        assert found == name, f"entry {self._at - 1} is {found}, not {name}"
        return value

    def deliver(self, number: int, update: Update) -> None:
        """Send an update."""
        import ray

        ray.get(self._hub.deliver.remote(number, update))


class ClientKeeper:
    """Keeps nothing: what the coordinator kept is known from its log."""

    keeps = False

    def __init__(self, line: Line, client: int) -> None:
        self.rank = client + 1  # the coordinator's is 0
        self._line = line

    def tell(self, event: dict[str, Any]) -> None:
        """Say nothing: no word about rows leaves a client."""

    def resume(self, phase: int) -> Progress | None:
        """Return what the coordinator resumes with but its arrays: weights come with each round."""
        found: Progress | None = self._line.next("resume")
        return found

    def ahead(self, left: int) -> int:
        """Return all that are left: a round is one step here."""
        return left

    def wanted(self) -> bool:
        """Want no checkpoint."""
        return False

    def steps_done(self, phase: int, progress: Progress) -> None:
        """Leave it to the coordinator."""

    def epoch_done(self, phase: int, history: list[Any], arrays: dict[str, Any]) -> None:
        """Leave it to the coordinator."""

    def product(self, name: str) -> Folder | None:
        """Return where the coordinator's product lies, if an attempt made it."""
        found: Folder | None = self._line.next(f"product {name}")
        return found

    def keep(self, name: str, fill: Any) -> Folder:
        """Return where the coordinator keeps what it made."""
        found: Folder = self._line.next(f"keep {name}")
        return found


class ClientEngine:
    """The engine of a client's process: trains by itself when drawn; all sums are the coordinator's."""

    def __init__(self, terms: Terms, client: int, line: Line) -> None:
        self.replicas, self.local, self.first = 1, 1, 0
        self._terms, self._client, self._line = terms, client, line
        self._inner = Replicated(tf.distribute.get_strategy(), workers=1, rank=0)
        self._rows: dict[str, Dataset] = {}
        self._learner: Learner | None = None

    def scope(self) -> Any:
        """Return the context in which variables are made."""
        return self._inner.scope()

    def held(self, dataset: Dataset, split: str) -> Dataset:
        """Return this client's part of the training rows, and no row of other splits."""
        if not self._rows:
            division = self._line.next("division")
            self._rows["train"] = Dataset.load(division.child(client_of(self._client)))
            self._rows["other"] = Dataset.load(division.child(nobody_of()))
        return self._rows["train" if split == "train" else "other"]

    def steps(self, feed: Any) -> int:
        """Return one: an epoch is a round, whatever steps its clients take."""
        return 1

    def train(self, training: Any, feed: Any, first: int, last: int) -> tuple[float, float, float]:
        """Take part in the next round when drawn, and return the sums over all clients that did."""
        if self._learner is None or self._learner.training is not training:
            self._learner = Learner(self._inner, training, self._terms, self._client)
        name, value = self._line.read()
        while name == "round":
            begun: Round = value
            if self._client in begun.drawn and begun.weights is not None:
                self._line.deliver(begun.number, self._learner.learn(begun, feed))
            name, value = self._line.read()
        assert name == "sums", f"a round ended in {name}"
        loss, correct, rows = value
        return loss, correct, rows

    def evaluate(self, training: Any, feed: Any) -> tuple[float, float, float]:
        """Return what the coordinator found."""
        sums: tuple[float, float, float] = self._line.next("evaluation")
        return sums

    def predict(self, model: Any, feed: Any) -> Any:
        """Return the logits of this client's rows; of rows it does not hold, those the coordinator found."""
        return self._inner.predict(model, feed) if len(feed.rows) else self._line.next("logits")

    def first_bad_step(self) -> int | None:
        """Return nothing: the coordinator stops the training."""
        return None

    def timing(self) -> Timing | None:
        """Return nothing: the coordinator times the round."""
        return None

    def facts(self) -> dict[str, float]:
        """Return nothing: the coordinator keeps the history."""
        return {}

    def read(self, training: Any) -> dict[str, Any]:
        """Return nothing: what counts are the coordinator's weights."""
        return {}

    def restore(self, training: Any, arrays: dict[str, Any]) -> None:
        """Leave the weights as they are: those of the next round replace them."""


class Learner:
    """Trains one model on one client's rows, each round from the weights it is given and with a fresh optimizer."""

    def __init__(self, inner: Replicated, training: Any, terms: Terms, client: int) -> None:
        self.training = training
        self._inner, self._terms, self._client = inner, terms, client
        self._shared = shared_weights(training.model)
        self._fresh = [variable.numpy() for variable in training.optimizer.variables]
        self._past = tf.Variable(0.0, trainable=False)
        for rate in rates_of(training.optimizer):  # a round's local epochs together move it as far as one epoch does
            rate.past, rate.pace = self._past, 1 / terms.local_epochs
        self._began = [tf.Variable(v) for v in training.model.trainable_variables] if terms.proximal else []
        if terms.proximal:
            training.penalties.append(self._distance)

    def _distance(self) -> Any:
        """Return μ/2·‖w − w₀‖², w₀ being the weights the round began with."""
        pairs = zip(self.training.model.trainable_variables, self._began, strict=True)
        return self._terms.proximal / 2 * sum(tf.reduce_sum(tf.square(now - then)) for now, then in pairs)

    def learn(self, begun: Round, feed: Any) -> Update:
        """Train for the local epochs and return what changed.

        No two clients, and no two epochs of one, have a train step's number in common: draws are keyed by it.
        """
        assert begun.weights is not None
        self._begin(begun.weights, begun.number * feed.steps)
        sums, bad_step = np.zeros(3), None
        for epoch in range(self._terms.local_epochs):
            at = (begun.number * self._terms.local_epochs + epoch) * self._terms.clients + self._client
            sums += self._inner.train(self.training, feed, at * feed.steps, (at + 1) * feed.steps)
            bad_step = self._inner.first_bad_step() if bad_step is None else bad_step
        self._inner.forget()  # the coordinator times the round
        change = [v.numpy() - old for v, old in zip(self._shared, begun.weights, strict=True)]
        if self._terms.clip is not None:
            return Update(self._client, clipped(change, self._terms.clip))
        loss, correct, rows = map(float, sums)
        return Update(self._client, change, len(feed.rows), (loss, correct, rows), bad_step)

    def _begin(self, weights: list[Any], past: int) -> None:
        for variable, value in zip(self._shared, weights, strict=True):
            variable.assign(value)
        for variable, value in zip(self.training.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        for began, variable in zip(self._began, self.training.model.trainable_variables, strict=False):
            began.assign(variable)
        self._past.assign(past)


class Client(Member):
    """A client's process, in the gang."""

    def work(self, work: Any, terms: Terms, cpus: float, hub: Any) -> None:
        """Do the coordinator's `work` beside it, on this client's rows."""
        set_up_devices(cpus)
        line = Line(hub)
        work(ClientEngine(terms, self.rank, line), ClientKeeper(line, self.rank))
