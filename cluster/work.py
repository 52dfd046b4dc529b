"""Runs a function in a worker process of the cluster, and carries what it tells back while it runs."""

from __future__ import annotations

import threading
import traceback
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cluster.errors import EspalierError, StepError
from cluster.resources import Resources
from cluster.starting.warm_start import runtime_env

Event = dict[str, Any]
GRACE = 10.0  # seconds a stopped process has to end
POLL = 0.2  # seconds between two looks at what a worker told


class Stopped(StepError):  # noqa: N818  it was asked for
    """The work was stopped: by a signal or by its time limit."""


@dataclass(frozen=True)
class Channel:
    """The sending end of a mailbox on the cluster; picklable, callable with an event (JSON values)."""

    mailbox: Any
    topic: str

    def __call__(self, event: Event) -> None:
        """Send `event`; returns at once."""
        self.mailbox.put.remote(self.topic, event)

    def flush(self) -> None:
        """Wait until everything this process sent has arrived: calls of one process arrive in order."""
        import ray

        ray.get(self.mailbox.arrived.remote())


class _Mailbox:
    """Holds events by topic until the driver takes them; an actor."""

    def __init__(self) -> None:
        self.events: dict[str, list[Event]] = {}

    def put(self, topic: str, event: Event) -> None:
        self.events.setdefault(topic, []).append(event)

    def arrived(self) -> None:
        return None

    def take(self, topic: str) -> list[Event]:
        return self.events.pop(topic, [])


@cache
def _mailbox(driver: str, node: str) -> Any:  # a driver has the same id in each cluster that it starts
    import ray

    return ray.remote(_Mailbox).options(num_cpus=0, scheduling_strategy=beside_us()).remote()


def beside_us() -> Any:
    """Return the place of what this process cannot go on without: its own node, of those that may be taken away."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    return ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)


def run_remote(
    function: Callable[..., Any],
    *args: Any,
    resources: Resources,
    tell: Callable[[Event], None],
    stop: threading.Event | None = None,
    ends: bool = False,
    variables: Mapping[str, str] | None = None,
    warm: bool = False,
    cleans_up: bool = False,
) -> Any:
    """Run `function(*args, tell=…)` in one worker process holding `resources`, and return what it returns.

    A process that holds nothing, as one that looks after others, lives on the node of this one. One that `ends` is not
    kept for other work, with all it has loaded. It starts with the environment `variables`, which those it starts
    inherit.
    `tell` receives, in order, the events the function sends; once it raises, it is warned of and told no more, for the
    work does not depend on who listens. When `stop` is set the process is ended and Stopped is
    raised; one that `cleans_up` is interrupted first, and killed only where that has not ended it. An EspalierError
    raised there is raised here as it is.
    """
    import ray

    here = ray.get_runtime_context()
    channel = Channel(_mailbox(here.get_worker_id(), here.get_node_id()), uuid.uuid4().hex)
    options: dict[str, Any] = {**held_by_one(resources), "max_retries": 0}
    options["runtime_env"] = _here(variables or {}) | (runtime_env() if warm else {})
    if resources == Resources():
        options["scheduling_strategy"] = beside_us()
    reference = _remote(ends).options(**options).remote(function, args, channel)
    done: list[Any] = []
    try:
        while not done:
            done, _ = ray.wait([reference], timeout=POLL)
            for event in ray.get(channel.mailbox.take.remote(channel.topic)):
                tell = _told(tell, event)
            if not done and stop is not None and stop.is_set():
                raise Stopped(function.__name__, "was stopped")
    finally:
        if not done:  # nobody waits for it any more: it must not go on writing
            try:
                if cleans_up:
                    ray.cancel(reference, force=False)
                    ray.wait([reference], timeout=GRACE)
            finally:
                ray.cancel(reference, force=True)
                ray.wait([reference], timeout=GRACE)
    return _outcome(reference, function.__name__)


@cache
def _remote(ends: bool) -> Any:  # one for all calls: each would be sent to the cluster anew
    import ray

    return ray.remote(max_calls=int(ends))(_call)


def held_by_one(resources: Resources) -> dict[str, Any]:
    """Return what a task or an actor holds, in the words of its options."""
    options: dict[str, Any] = {"num_cpus": resources.cpus, "num_gpus": resources.gpus}
    options |= {"memory": resources.memory} if resources.memory else {}
    return options | ({"label_selector": dict(resources.labels)} if resources.labels else {})


def _here(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the runtime environment of processes that ask this cluster, and no other, about itself.

    Ray's own actors look their cluster up anew, and take the one that was started last on the machine.
    """
    import ray

    return {"env_vars": {**variables, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}}


def _told(tell: Callable[[Event], None], event: Event) -> Callable[[Event], None]:
    """Tell, and return whom to tell next: nobody, once that raised."""
    try:
        tell(event)
    except Exception as error:  # noqa: BLE001  whoever listens may fail in any way
        warnings.warn(f"what is told of the work cannot be shown any more: {in_short(error)}", stacklevel=3)
        return lambda event: None
    return tell


def _call(function: Callable[..., Any], args: tuple[Any, ...], channel: Channel) -> Any:
    try:
        return function(*args, tell=channel)
    except EspalierError:
        raise
    except Exception:
        channel({"traceback": traceback.format_exc()})
        raise
    finally:
        channel.flush()


def in_short(error: object) -> str:
    """Return an exception's type and the first line of what it says, at most 300 characters."""
    line = repr(error).split("\\n")[0]
    return line if len(line) <= 300 else f"{line[:299]}…"


def _outcome(reference: Any, name: str) -> Any:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, EspalierError):
            raise error.cause from None
        raise StepError(name, f"raised {in_short(error.cause)}") from None
    except ray.exceptions.WorkerCrashedError as error:
        raise StepError(name, "its process died", remedy=f"see the worker's log ({error})") from None
