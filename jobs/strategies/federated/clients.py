"""The coordinator's view of its clients: who lives, the log they follow, and the updates of a round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cluster.errors import PreemptedError, StepError
from cluster.gang import Gang
from jobs.strategies.federated.messages import Round, Update

ROLE = "client"
LOOK = 1.0  # seconds between two looks at who died, while updates are awaited


class Clients:
    """A gang of clients at work; `runs` are the references to the end of each one's."""

    def __init__(self, gang: Gang, runs: dict[int, Any], hub: Any, tell: Callable[[dict[str, Any]], None]) -> None:
        self._gang, self._runs, self._hub, self._tell = gang, runs, hub, tell
        self._written = 0

    def everyone(self) -> list[int]:
        """Return all clients, the dead too."""
        return [rank for _, rank in self._gang.members]

    def alive(self) -> list[int]:
        """Return the clients that live; StepError when none does."""
        self._look()
        return self._living()

    def write(self, name: str, value: Any) -> None:
        """Write the next entry of the log."""
        import ray

        ray.get(self._hub.write.remote(self._written, name, value))
        self._written += 1

    def round(self, begun: Round) -> list[Update]:
        """Hold a round and return the updates of the clients that lived through it, in the clients' order.

        StepError when no client is left, or when one raised.
        """
        import ray

        self.write("round", begun)
        answers: dict[int, Update] = {}
        while set(begun.drawn) & set(self.alive()) - set(answers):
            for update in ray.get(self._hub.updates.remote(begun.number, LOOK)):
                answers[update.client] = update
        over = Round(begun.number, begun.drawn, None)  # weights are let go of; who comes late has nothing to do
        ray.get(self._hub.write.remote(self._written - 1, "round", over))
        return [answers[client] for client in sorted(answers)]

    def _look(self) -> None:
        """Warn of clients that died, and raise what another raised."""
        import ray

        for fallen in self._gang.poll():
            del self._runs[fallen.rank]
            self._tell({"warning": f"{fallen}; rounds go on without it"})
        for client, run in self._runs.items():
            if ray.wait([run], timeout=0)[0]:
                self._ended(client, run)

    def _ended(self, client: int, run: Any) -> None:
        import ray

        try:
            ray.get(run)
        except ray.exceptions.RayActorError:
            return  # it died: the gang's next look says how
        except ray.exceptions.RayTaskError:
            self._gang.answer((ROLE, client), run)

    def _living(self) -> list[int]:
        dead = {fallen.rank for fallen in self._gang.fallen}
        living = [client for client in self.everyone() if client not in dead]
        if not living:
            kind = PreemptedError if all(fallen.preempted for fallen in self._gang.fallen) else StepError
            raise kind("the clients", f"are all dead: {'; '.join(map(str, self._gang.fallen))}", "one that lives")
        return living
