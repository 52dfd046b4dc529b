"""How training rows are divided among clients: the fields of each way; the dealing itself is in `dealing.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from jobs.spec import Choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Partition(Choice):
    """The family of ways to divide training rows: every row has one owner, every client one row or more."""

    needs_owners: ClassVar[bool] = False  # the data set must say whose each row is

    def deal(self, labels: NDArray[Any], owners: NDArray[Any] | None, clients: int) -> Sequence[NDArray[Any]]:
        """Return the rows of each client, `int64[its rows]`, ascending.

        `labels` are `int32[rows]`, `owners` the same of numbers that say whose a row is, where the data set knows.
        """
        raise NotImplementedError


class ByRow(Partition):
    """Rows are dealt at random, as many to each client: the labels are alike everywhere."""

    kind: Literal["rows"] = "rows"
    seed: Seed = 0

    def deal(self, labels: NDArray[Any], owners: NDArray[Any] | None, clients: int) -> Sequence[NDArray[Any]]:
        """Deal by chance alone."""
        from jobs.strategies.federated.dealing import evenly

        return evenly(len(labels), clients, self.seed)


class Dirichlet(Partition):
    """Labels are skewed: each client's shares of the classes are drawn from Dirichlet(α·p) (Hsu et al., 2019)."""

    kind: Literal["dirichlet"] = "dirichlet"
    alpha: Annotated[float, Field(gt=0, le=1e6, description="The smaller, the fewer classes a client has")] = 0.5
    seed: Seed = 0

    def deal(self, labels: NDArray[Any], owners: NDArray[Any] | None, clients: int) -> Sequence[NDArray[Any]]:
        """Deal by label."""
        from jobs.strategies.federated.dealing import skewed

        return skewed(labels, clients, self.alpha, self.seed)


class ByColumn(Partition):
    """Rows lie with the client that their source's `client` column names; several names may share a client."""

    kind: Literal["column"] = "column"
    needs_owners: ClassVar[bool] = True

    def deal(self, labels: NDArray[Any], owners: NDArray[Any] | None, clients: int) -> Sequence[NDArray[Any]]:
        """Deal by owner."""
        from jobs.strategies.federated.dealing import by_owner

        assert owners is not None, "checked before rows are dealt"
        return by_owner(owners, clients)
