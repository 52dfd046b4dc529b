"""A replica of the Serve application: holds versions of a model, answers HTTP and gRPC, and is steered while it runs.

It runs LiteRT only. Serve's `user_config` says what to hold (`plan.py`); the first is loaded before the replica is
ready, later ones while it goes on answering.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.runtime.classifier import Raw
from jobs.serving.answering.access import AccessLog
from jobs.serving.answering.app import App
from jobs.serving.answering.guard import Guard
from jobs.serving.haproxy.shortcut import answer_with
from jobs.serving.keys import KeyRing
from jobs.serving.metrics.telling import Telling
from jobs.serving.plan import Asked, Plan
from jobs.serving.versions.models import Models

GRACE_S = 5.0  # of calls over gRPC that are in hand when their server ends


class Replica:
    """What Serve makes once a process; `plan` is a Plan as JSON values, which `reconfigure` may replace."""

    def __init__(self, plan: Mapping[str, Any], host: str = "127.0.0.1", grpc_port: int | None = None) -> None:
        first = Plan.model_validate(plan)
        self.guard = Guard(first.limits, KeyRing(first.keys), own_addresses())
        self.observers: list[Any] = observers(first)
        self._tellings: dict[str, Telling] = {}
        self.models = Models(first, self._told)
        self._application = App(self.models, self.guard, self.observers)
        self._application.closing.append(self._close)
        self._host, self._grpc_port = host, grpc_port
        self._grpc: tuple[Any, int] | None = None  # the server, and the cap it started with
        self._starting = asyncio.Lock()
        self.models.load(first)

    def _told(self, model: str) -> list[Any]:
        """Return who is told of a model's versions, and from now on of its requests, too."""
        if model not in self._tellings:
            self._tellings[model] = Telling(model, lambda: self.guard.in_hand)
            self.observers.append(self._tellings[model])
        return [self._tellings[model]]

    async def _close(self) -> None:
        if self._grpc is not None:
            await self._grpc[0].stop(GRACE_S)
        for one in self.observers:
            await one.close()

    def __serve_build_asgi_app__(self) -> App:
        """Return what answers HTTP."""
        answer_with(self._application)
        return self._application

    async def reconfigure(self, plan: Mapping[str, Any]) -> None:
        """Load what the plan has more, then follow it."""
        asked = Plan.model_validate(plan)
        await asyncio.to_thread(self.models.load, asked)
        self.guard.limits, self.guard.keys = asked.limits, KeyRing(asked.keys)
        self.models.follow(asked)
        if self._grpc_port is not None:
            async with self._starting:
                await self._listen(self._grpc_port, asked.limits.body_bytes)

    async def _listen(self, port: int, cap: int) -> None:
        """Answer gRPC too, from the loop that answers HTTP; with another cap, by another server on the same port."""
        from jobs.serving.rpc.service import listen

        before = self._grpc
        if before is not None and before[1] == cap:
            return
        self._grpc = await listen(self._application, self._host, port), cap
        if before is not None:
            await before[0].stop(GRACE_S)

    async def load(self, asked: Mapping[str, Any]) -> float:
        """Load one more version, which answers nothing yet; return the seconds it took."""
        version = Asked.model_validate(asked)
        own = self.models.own
        await asyncio.to_thread(own.load, own.plan.holding(version))
        return own.versions[version.version].load_seconds

    async def steer(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        """Answer by another plan from now on: what `reconfigure` does, but asked of all replicas at once."""
        await self.reconfigure(plan)
        return self.state()

    async def tried(self, version: str, model: str = "") -> list[dict[str, Any]]:
        """Return what a version says of each golden row, one after the other, with the seconds each took."""
        held = self.models.named(model).chosen(version)
        answers = []
        for item in held.golden:
            begun = time.perf_counter()
            answer = await one(held, item)
            answers.append({"answer": answer, "seconds": time.perf_counter() - begun})
        return answers

    def state(self) -> dict[str, Any]:
        """Return what it holds and how each version did."""
        plan = self.models.own.plan.model_dump(mode="json")
        return {"process": f"{socket.gethostname()}:{os.getpid()}", "plan": plan, **self.models.facts()}


async def one(version: Any, item: Raw) -> dict[str, Any]:
    """Return a version's answer to one item that can be prepared."""
    rows, wrong = await version.prepare([item])
    assert rows is not None, wrong
    answer: dict[str, Any] = version.classifier.answer((await version.probabilities(rows))[0])
    return answer


def own_addresses() -> frozenset[str]:
    """Return the addresses by which this node's processes reach one another."""
    import ray

    return frozenset({ray.util.get_node_ip_address()}) if ray.is_initialized() else frozenset()


def observers(plan: Plan) -> list[Any]:
    """Return who is told of what this replica answers."""
    folder = logs()
    return [] if folder is None else [AccessLog(folder / f"espalier_access_{plan.model}_{os.getpid()}.log")]


def logs() -> Path | None:
    """Return the folder of Serve's logs on this node; None outside a cluster."""
    import ray

    if not ray.is_initialized():
        return None
    from ray.serve._private.logging_utils import get_serve_logs_dir

    folder = Path(get_serve_logs_dir())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def deployment() -> Any:
    """Return the replica as Serve's ingress: its application is spoken to directly, without a hop."""
    from ray import serve

    return serve.ingress()(Replica)
