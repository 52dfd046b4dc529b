"""Deals rows to clients: evenly, with skewed labels, or by whose they are. Pure functions of their arguments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cluster.errors import FinalError

Rows = NDArray[np.int64]
SUBJECT = "the partition"


def evenly(rows: int, clients: int, seed: int) -> list[Rows]:
    """Deal rows at random, to each client as many as to any other."""
    _require(rows, clients)
    order = np.random.default_rng(seed).permutation(rows)
    return [np.sort(part) for part in np.array_split(order, clients)]


def skewed(labels: NDArray[np.int32], clients: int, alpha: float, seed: int) -> list[Rows]:
    """Deal rows so that labels are skewed: client k's shares of the classes are drawn from Dirichlet(α·p).

    p are the shares of the classes in all rows; the smaller α, the fewer classes a client has. Each client gets as many
    rows as any other; a class that has no rows left is drawn no more (Hsu, Qi & Brown, "Measuring the Effects of
    Non-Identical Data Distribution for Federated Visual Classification", 2019).
    """
    _require(len(labels), clients)
    stream = np.random.default_rng(seed)
    counts = np.bincount(labels)
    pools = [stream.permutation(np.flatnonzero(labels == label)) for label in range(len(counts))]
    left, dealt = counts.copy(), []
    for size in map(len, np.array_split(labels, clients)):
        taken = _taken(stream, _shares(stream, alpha * counts / len(labels)), left, size)
        parts = [pool[start : start + n] for pool, start, n in zip(pools, counts - left, taken, strict=True)]
        dealt.append(np.sort(np.concatenate(parts)))
        left = left - taken
    return dealt


def _shares(stream: np.random.Generator, concentration: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw from a Dirichlet distribution; a class without rows has none; draws too small for floats leave one."""
    shares = np.zeros(len(concentration))
    there = np.flatnonzero(concentration)
    drawn = stream.dirichlet(concentration[there])
    if not np.isfinite(drawn).all() or not drawn.sum():
        drawn = np.eye(len(there))[stream.integers(len(there))]
    shares[there] = drawn
    return shares


def _taken(stream: np.random.Generator, shares: NDArray[np.float64], left: Rows, size: int) -> Rows:
    """Return how many of `size` rows are of each class, none more than are `left`."""
    taken = np.zeros(len(left), np.int64)
    while (missing := size - int(taken.sum())) > 0:
        open_ = left - taken
        weights = np.where(open_ > 0, shares, 0.0)
        if not weights.sum():  # the classes this client draws are used up: what is left, in proportion
            weights = open_.astype(np.float64)
        taken += np.minimum(stream.multinomial(missing, weights / weights.sum()), open_)
    return taken


def by_owner(owners: NDArray[np.int32], clients: int) -> list[Rows]:
    """Deal rows so that all of one owner lie with one client: the largest owners first, each to who has least."""
    sizes = np.bincount(owners)
    names = [int(name) for name in np.argsort(-sizes, kind="stable") if sizes[name]]
    if len(names) < clients:
        raise FinalError(
            SUBJECT, f"finds {len(names)} owners of rows for {clients} clients", "an owner for each client"
        )
    client_of, held = np.zeros(len(sizes), np.int64), np.zeros(clients, np.int64)
    for name in names:
        client_of[name] = held.argmin()
        held[client_of[name]] += sizes[name]
    return [np.flatnonzero(client_of[owners] == client) for client in range(clients)]


def _require(rows: int, clients: int) -> None:
    if rows < clients:
        raise FinalError(SUBJECT, f"has {rows} rows for {clients} clients", "a row for each client")
