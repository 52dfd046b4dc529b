"""Clients without processes: the coordinator's real fake, which trains them one after the other in this process."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.fit import Training
from jobs.models.model import build_to_train, in_head
from jobs.optimizers import train_optimizer_of
from jobs.strategies import Strategy
from jobs.strategies.federated.client import Learner
from jobs.strategies.federated.coordinator import Coordinator, CoordinatorKeeper
from jobs.strategies.federated.division import client_of, nobody_of
from jobs.strategies.federated.federated import Federated
from jobs.strategies.federated.messages import Round, Terms, Update
from jobs.strategies.replicated.engine import Replicated
from jobs.training import Prepared, TrainWork, feeds_of
from tests.jobs.strategies.federated.rig import Trained
from tests.rig import MemoryKeeper


class LocalClients:
    """What a coordinator sees of its clients; `sent` keeps every update."""

    def __init__(self, work: TrainWork, terms: Terms) -> None:
        self.work, self.terms = work, terms
        self.inner = Replicated(tf.distribute.get_strategy(), workers=1, rank=0)
        self.folders: dict[str, Folder] = {}
        self.learners: dict[int, tuple[Learner, Any]] = {}
        self.rounds: list[Round] = []
        self.sent: list[Update] = []

    def everyone(self) -> list[int]:
        return list(range(self.terms.clients))

    def alive(self) -> list[int]:
        return self.everyone()

    def write(self, name: str, value: Any) -> None:
        if isinstance(value, Folder):
            self.folders[name.split()[-1]] = value

    def round(self, begun: Round) -> list[Update]:
        self.rounds.append(begun)
        updates = []
        for client in begun.drawn:
            learner, feed = self._learner(client)
            updates.append(learner.learn(begun, feed))
        self.sent += updates
        return updates

    def _learner(self, client: int) -> tuple[Learner, Any]:
        if client not in self.learners:
            recipe, path = self.work.recipe, self.folders["preprocess"].path
            preprocess = Prepared.model_validate_json((path / "preprocess.json").read_text()).preprocess
            mine, none = (self.folders["division"].child(name) for name in (client_of(client), nobody_of()))
            data = {"train": Dataset.load(mine), "validation": Dataset.load(none)}
            feed, _ = feeds_of(data["train"], preprocess, path, recipe, lambda _, split: data[split])
            model = build_to_train(self.work.model, preprocess, len(data["train"].classes), recipe.seed, path)
            optimizer = train_optimizer_of(recipe, recipe.epochs * feed.steps, in_head)
            optimizer.build(model.trainable_variables)
            training = Training(model, optimizer, recipe.seed)
            self.learners[client] = (Learner(self.inner, training, self.terms, client), feed)
        return self.learners[client]


def run_locally(trained: Trained, keeper: MemoryKeeper) -> LocalClients:
    """Do the work of `trained` with clients in this process."""
    work, strategy = trained.work(), Strategy.choose(trained.strategy)
    assert isinstance(strategy, Federated)
    clients = LocalClients(work, strategy.terms())
    kept = CoordinatorKeeper(keeper, clients)  # type: ignore[arg-type]
    kept.engine = Coordinator(strategy, clients, keeper)  # type: ignore[arg-type]
    work(kept.engine, kept)
    return clients
