"""One client's rounds, in this process: what they start from, what they depend on, and what pulls them back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.data.encode import encoded
from jobs.data.feed import Feed
from jobs.data.preparing import preprocess_of
from jobs.fit import Training
from jobs.models.model import ModelSpec, build, frozen_backbone
from jobs.optimizers import optimizer_of, rates_of
from jobs.recipe import Recipe
from jobs.strategies.federated.client import Learner
from jobs.strategies.federated.messages import Round, Terms, Update
from jobs.strategies.federated.sharing import check_batches, shared_weights
from jobs.strategies.replicated.engine import Replicated
from tests.rig import TINY

pytestmark = pytest.mark.training

TERMS = Terms(clients=3, local_epochs=2, proximal=0.0, clip=None)
RECIPE = Recipe(epochs=4, batch_size=64, learning_rate=0.01, seed=5)
SPEC = ModelSpec.model_validate({"backbone": TINY, "dropout": 0.3})


class Clients:
    """Clients of one model and the same rows, one after the other."""

    def __init__(self, digits: Folder) -> None:
        import tensorflow as tf

        dataset = Dataset.load(digits)
        pixels = preprocess_of(dataset)
        self.rows = encoded(dataset, pixels, "validation")  # 179: enough to learn from
        self.pixels = pixels
        self.model = self.built()
        self.start = [variable.numpy() for variable in shared_weights(self.model)]
        self.inner = Replicated(tf.distribute.get_strategy(), workers=1, rank=0)

    def built(self) -> Any:
        return build(SPEC, self.pixels, 10, seed=5)

    def learner(self, terms: Terms = TERMS, client: int = 0) -> Learner:
        optimizer = optimizer_of(RECIPE, RECIPE.epochs * 3)
        training = Training(self.model, optimizer, RECIPE.seed)
        optimizer.build(self.model.trainable_variables)
        return Learner(self.inner, training, terms, client)

    def learn(self, learner: Learner, number: int = 0) -> Update:
        return learner.learn(Round(number, [0], self.start), Feed(self.rows, RECIPE.batch_size, RECIPE.seed))


def norm(update: Update) -> float:
    return float(np.linalg.norm(np.concatenate([part.ravel() for part in update.change])))


def same(one: Update, other: Update) -> bool:
    return all(np.allclose(a, b, atol=1e-7) for a, b in zip(one.change, other.change, strict=True))


@pytest.fixture(scope="module")
def clients(digits: Folder) -> Any:
    return Clients(digits)


def test_a_round_depends_on_its_number_its_client_and_the_weights_alone(clients: Clients) -> None:
    learner = clients.learner()
    first = clients.learn(learner)
    assert first.rows == 179
    assert first.sums is not None
    assert first.sums[2] == 358  # two local epochs
    other = clients.learn(learner, number=1)
    assert not same(first, other)
    assert same(first, clients.learn(learner))  # nothing of a round is left in the client
    assert same(other, clients.learn(clients.learner(), number=1))
    assert not same(first, clients.learn(clients.learner(client=1)))


def test_the_proximal_term_pulls_towards_the_weights_the_round_began_with(clients: Clients) -> None:
    free, pulled = (clients.learn(clients.learner(replace(TERMS, proximal=mu))) for mu in (0.0, 100.0))
    trained = [place for place, v in enumerate(shared_weights(clients.model)) if v.trainable]  # not batches' averages
    lengths = [np.linalg.norm([np.linalg.norm(update.change[place]) for place in trained]) for update in (free, pulled)]
    assert lengths[1] < 0.8 * lengths[0]


def test_what_leaves_a_private_client_is_its_clipped_change_alone(clients: Clients) -> None:
    update = clients.learn(clients.learner(replace(TERMS, clip=0.01)))
    assert norm(update) == pytest.approx(0.01, rel=1e-4)
    assert (update.rows, update.sums, update.bad_step) == (None, None, None)


def test_rates_move_by_an_epoch_a_round_however_many_local_epochs_there_are(clients: Clients) -> None:
    learner = clients.learner()
    (rate,) = rates_of(learner.training.optimizer)
    whole = optimizer_of(RECIPE, RECIPE.epochs * 3)._learning_rate
    for number in range(4):
        clients.learn(learner, number)
        assert int(learner.training.optimizer.iterations) == 6
        assert float(rate(0)) == pytest.approx(float(whole(3 * number)))
        assert float(rate(6)) == pytest.approx(float(whole(3 * number + 3)), abs=1e-9)


def test_a_frozen_backbone_is_not_shared(clients: Clients) -> None:
    model = clients.built()
    everything = len(shared_weights(model))
    with frozen_backbone(model):
        assert [variable.name.split(":")[0] for variable in shared_weights(model)] == ["logits/kernel", "logits/bias"]
    assert len(shared_weights(model)) == everything == len(model.weights)


def test_a_batch_of_one_row_is_refused_where_batches_are_normalised(clients: Clients, tmp_path: Path) -> None:
    with pytest.raises(StepError) as caught:
        check_batches(clients.model, [128, 129], 2)
    assert str(caught.value) == (
        "client 1: has 129 rows, and batches of 2 leave one with a single row, "
        "wanted two rows or more, for batch normalisation; set batch_size to 3, for example"
    )
    check_batches(clients.model, [128, 129], 64)  # the last two batches share their rows
    with frozen_backbone(clients.model):
        check_batches(clients.model, [128, 129], 2)
