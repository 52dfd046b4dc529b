"""What a noisy training tells of one client: the Rényi accountant of the Poisson-subsampled Gaussian mechanism.

Every round draws each client by itself with probability q and adds Gaussian noise, σ times the largest norm a client's
update may have. Mironov, Talwar & Zhang, "Rényi Differential Privacy of the Sampled Gaussian Mechanism" (2019), bound
the Rényi divergence of one round at order α (section 3.3); rounds add up; Canonne, Kamath & Steinke, "The Discrete
Gaussian for Differential Privacy" (2020, proposition 12) turn the sum into (ε, δ). Neighbours differ by one client.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, gammasgn, log_ndtr, logsumexp

ORDERS = (*(1 + x / 10 for x in range(1, 100)), *map(float, range(11, 64)), 128.0, 256.0, 512.0, 1024.0)
NEGLIGIBLE = -30.0  # log of the share of the sum under which terms of the series change no digit of it
FIRST_TERMS, MOST_TERMS = 256, 65_536


def epsilon(
    noise_multiplier: float, sampling: float, rounds: int, delta: float, orders: Sequence[float] = ORDERS
) -> float:
    """Return the ε that `rounds` rounds spend at `delta`, the least over `orders`; infinite without noise.

    `noise_multiplier` is σ, `sampling` the probability q with which each client is drawn.
    """
    if not rounds or not sampling:
        return 0.0
    if not noise_multiplier:
        return math.inf
    spent = [rounds * renyi(noise_multiplier, sampling, order) for order in orders]
    return max(0.0, min(_converted(order, divergence, delta) for order, divergence in zip(orders, spent, strict=True)))


@cache  # asked again after every round
def renyi(noise_multiplier: float, sampling: float, order: float) -> float:
    """Return the Rényi divergence of one round at `order` > 1, infinite where its series does not converge."""
    if sampling == 1:
        return order / (2 * noise_multiplier**2)
    logarithm = _whole if float(order).is_integer() else _fractional
    return max(0.0, logarithm(noise_multiplier, sampling, order) / (order - 1))


def _converted(order: float, divergence: float, delta: float) -> float:
    if delta**2 + math.expm1(-divergence) > 0:  # the total variation is below δ already (Bretagnolle & Huber)
        return 0.0
    return divergence + math.log1p(-1 / order) - math.log(delta * order) / (order - 1)


def _whole(sigma: float, q: float, order: float) -> float:
    """Return log A of a whole order: a binomial sum."""
    k = np.arange(order + 1)
    chosen = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
    terms = chosen + k * math.log(q) + (order - k) * math.log1p(-q) + (k * k - k) / (2 * sigma**2)
    return float(logsumexp(terms))


def _fractional(sigma: float, q: float, order: float) -> float:
    """Return log A of a fractional order: two binomial series, of the integral's halves left and right of z0."""
    terms = FIRST_TERMS
    while terms <= MOST_TERMS:
        logarithms, signs = _series(sigma, q, order, np.arange(terms, dtype=np.float64))
        total = float(logsumexp(logarithms, b=signs))
        if logarithms[:, -1].max() < total + NEGLIGIBLE:
            return total
        terms *= 4
    return math.inf


def _series(sigma: float, q: float, order: float, i: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return logarithms and signs of the terms `i` of both series: `float64[2, terms]`."""
    z0 = sigma**2 * math.log(1 / q - 1) + 0.5
    j = order - i
    chosen = gammaln(order + 1) - gammaln(i + 1) - gammaln(j + 1)
    left = i * math.log(q) + j * math.log1p(-q) + (i * i - i) / (2 * sigma**2) + log_ndtr((z0 - i) / sigma)
    right = j * math.log(q) + i * math.log1p(-q) + (j * j - j) / (2 * sigma**2) + log_ndtr((j - z0) / sigma)
    signs = gammasgn(j + 1)
    return chosen + np.stack([left, right]), np.stack([signs, signs])
