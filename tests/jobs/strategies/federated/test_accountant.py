"""The accountant against stored values of another one, and against the integral it stands for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from jobs.strategies.federated.accountant import ORDERS, epsilon, renyi

# Made with dp-accounting 0.6.0 (numpy 2.4.6, scipy 1.17.1), in an environment of its own, by
#   RdpAccountant(orders).compose(PoissonSampledDpEvent(q, GaussianDpEvent(sigma)), rounds).get_epsilon(delta)
# (without the sampling where q is 1): sigma, q, rounds, delta, epsilon over whole orders, epsilon over its own orders.
STORED = [
    (0.5, 0.1, 10, 0.001, 9.813156823841245, 9.627036497552874),
    (0.8, 0.05, 100, 1e-05, 6.777828090941303, 6.6582571722378345),
    (1.0, 0.01, 1000, 1e-05, 2.1077530754515745, 2.101366525420273),
    (1.0, 0.1, 1, 1e-05, 2.1330059954307927, 2.1330059954307927),
    (1.0, 0.5, 20, 0.001, 12.668941308038017, 12.668941308038017),
    (1.0, 1.0, 1, 1e-05, 4.752728336819822, 4.728507067217623),
    (1.0, 1.0, 100, 1e-06, 112.42921619684438, 100.72147861104412),
    (1.1, 0.004, 14000, 1e-05, 2.415066685561963, 2.411231449809196),
    (1.5, 0.25, 50, 0.0001, 6.535974485677323, 6.431951895427561),
    (2.0, 0.001, 10000, 1e-07, 0.2881623081385232, 0.2881623081385232),
    (2.0, 0.9, 30, 0.01, 9.430778614322504, 9.40093915667343),
    (4.0, 0.3, 200, 1e-05, 5.269959620693825, 5.269959620693825),
    (8.0, 0.02, 500, 1e-06, 0.24114183852021287, 0.24114183852021287),
    (20.0, 0.5, 10, 1e-05, 0.2960624988824081, 0.2960624988824081),
    (0.3, 0.2, 3, 0.01, 26.896657555031094, 17.981042234353176),
    (100.0, 0.01, 1, 0.1, 0.0, 0.0),
]
WHOLE = [order for order in ORDERS if order.is_integer()]


@pytest.mark.parametrize(("sigma", "q", "rounds", "delta", "whole", "every"), STORED)
def test_epsilon_is_that_of_dp_accounting(
    sigma: float, q: float, rounds: int, delta: float, whole: float, every: float
) -> None:
    assert epsilon(sigma, q, rounds, delta, WHOLE) == pytest.approx(whole, rel=1e-9, abs=1e-12)
    # At fractional orders it adds up the magnitudes of a series whose terms alternate: a bound above the divergence.
    found = epsilon(sigma, q, rounds, delta)
    assert found <= every * (1 + 1e-9)
    assert found == pytest.approx(every, rel=0.0025, abs=1e-12)


@pytest.mark.parametrize(("sigma", "q"), [(0.5, 0.1), (1.0, 0.01), (1.5, 0.25), (4.0, 0.9)])
@pytest.mark.parametrize("order", [1.4, 1.9, 2.0, 3.3, 7.9, 12.0])
def test_the_divergence_is_the_integral_of_its_definition(sigma: float, q: float, order: float) -> None:
    def density(z: float) -> float:
        """Return μ₀(z)·((1-q) + q·exp((2z-1)/2σ²))^α, μ₀ being the density of N(0, σ²)."""
        mixed = np.logaddexp(math.log1p(-q), math.log(q) + (2 * z - 1) / (2 * sigma**2))
        return math.exp(-z * z / (2 * sigma**2) + order * mixed) / (sigma * math.sqrt(2 * math.pi))

    whole, _ = quad(density, -40 * sigma, 40 * sigma + order, points=[0, 1, order], limit=500, epsabs=0, epsrel=1e-12)
    assert renyi(sigma, q, order) == pytest.approx(math.log(whole) / (order - 1), rel=1e-6, abs=1e-12)


def test_without_noise_nothing_is_private_and_without_rounds_nothing_is_spent() -> None:
    assert epsilon(0.0, 0.5, 1, 1e-5) == math.inf
    assert epsilon(1.0, 0.5, 0, 1e-5) == 0.0


def test_more_noise_fewer_rounds_and_rarer_sampling_spend_less() -> None:
    spent = epsilon(1.0, 0.2, 20, 1e-5)
    assert epsilon(2.0, 0.2, 20, 1e-5) < spent
    assert epsilon(1.0, 0.2, 10, 1e-5) < spent
    assert epsilon(1.0, 0.1, 20, 1e-5) < spent
