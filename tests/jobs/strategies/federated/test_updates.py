"""The arithmetic of rounds: means, clipping, noise, the servers' steps, who is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jobs.strategies.federated.server import FedAdam, FedAvg, FedProx, Server
from jobs.strategies.federated.updates import clipped, drawn, mean, private_mean


def arrays(*values: float) -> list[np.ndarray]:
    return [np.full((2, 3), value, np.float32) for value in values] + [np.array(values, np.float32)]


def norm(update: list[np.ndarray]) -> float:
    return float(np.linalg.norm(np.concatenate([part.astype(np.float64).ravel() for part in update])))


def test_a_mean_counts_each_client_by_its_rows() -> None:
    found = mean([arrays(1.0, -2.0), arrays(5.0, 2.0)], [30, 10])
    for part, wanted in zip(found, arrays(2.0, -1.0), strict=True):
        np.testing.assert_allclose(part, wanted, rtol=1e-6)
        assert part.dtype == np.float32


def test_an_update_is_scaled_to_the_norm_as_a_whole_and_a_short_one_stays() -> None:
    long = arrays(30.0, 40.0)
    found = clipped(long, 1.5)
    assert 1.5 * (1 - 1e-5) < norm(found) <= 1.5
    np.testing.assert_allclose(found[0] / found[1], long[0] / long[1], rtol=1e-6)
    short = arrays(1e-3, 1e-3)
    assert all((one == other).all() for one, other in zip(clipped(short, 1.5), short, strict=True))
    assert norm(clipped(arrays(0.0, 0.0), 1.5)) == 0
    for broken in (np.nan, np.inf):
        assert norm(clipped(arrays(broken, 1.0), 1.5)) == 0


def test_noise_has_the_deviation_of_the_clipping_norm_whoever_was_drawn() -> None:
    like = [np.zeros((200, 300), np.float32)]
    for updates in ([], [[np.full((200, 300), 2.0, np.float32)]]):
        (found,) = private_mean(updates, like, norm=0.5, noise=4.0, expected=2.5, key=[1, 2])
        assert found.mean() == pytest.approx(len(updates) * 2.0 / 2.5, abs=0.02)
        assert found.std() == pytest.approx(4.0 * 0.5 / 2.5, rel=0.02)
    again = private_mean([], like, 0.5, 4.0, 2.5, [1, 2])[0]
    assert (again == private_mean([], like, 0.5, 4.0, 2.5, [1, 2])[0]).all()
    assert (again != private_mean([], like, 0.5, 4.0, 2.5, [1, 3])[0]).any()


def test_adam_on_the_server_takes_the_steps_of_the_paper() -> None:
    """Reddi et al. (2021), algorithm 2: m ← β₁m + (1-β₁)Δ, v ← β₂v + (1-β₂)Δ², w ← w + η·m/(√v + τ); v₋₁ = τ²."""
    server = FedAdam(learning_rate=0.1, betas=[0.9, 0.99], tau=1e-3)
    m, v = 0.0, 1e-6
    state: dict[str, Any] = {}
    for change in (0.5, -0.2, 0.3):
        m, v = 0.9 * m + 0.1 * change, 0.99 * v + 0.01 * change**2
        steps, state = server.step([np.array([change])], state)
        assert steps[0] == pytest.approx(0.1 * m / (v**0.5 + 1e-3))


def test_the_other_servers_take_the_mean_as_it_is() -> None:
    assert {FedAvg, FedProx, FedAdam} == set(Server.members().values())
    for server in (FedAvg(), FedProx(mu=0.3)):
        steps, state = server.step(arrays(1.0), {})
        assert all((one == other).all() for one, other in zip(steps, arrays(1.0), strict=True))
        assert state == {}
    assert [FedAvg().proximal(), FedProx(mu=0.3).proximal(), FedAdam().proximal()] == [0, 0.3, 0]


def test_a_fixed_share_of_clients_is_drawn_each_as_often_as_any_other() -> None:
    rounds = [drawn(10, 0.3, False, [7, number]) for number in range(1_000)]
    assert {len(clients) for clients in rounds} == {3}
    assert all(len(set(clients)) == 3 for clients in rounds)
    counts = np.bincount(np.concatenate(rounds), minlength=10)
    assert counts.min() > 240
    assert rounds[5] == drawn(10, 0.3, False, [7, 5])
    assert drawn(3, 0.01, False, [0]) != []
    assert drawn(3, 1.0, False, [0]) == [0, 1, 2]


def test_poisson_draws_each_client_by_itself() -> None:
    rounds = [drawn(10, 0.3, True, [7, number]) for number in range(2_000)]
    sizes = np.array([len(clients) for clients in rounds])
    assert sizes.mean() == pytest.approx(3.0, abs=0.15)
    assert sizes.var() == pytest.approx(10 * 0.3 * 0.7, abs=0.25)  # a binomial's
    assert sizes.min() == 0
