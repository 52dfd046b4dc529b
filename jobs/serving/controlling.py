"""Speaks to Ray Serve about one application: starts it from a Serve configuration, and steers its replicas."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

from cluster.errors import StepError
from jobs.serving.answering.guard import is_loopback
from jobs.serving.front import variables
from jobs.serving.plan import Plan

if TYPE_CHECKING:
    from jobs.serving.application import Place

DEPLOYMENT = "classifier"
LOCALHOST = "localhost"
BUILD = "jobs.serving.building:build"
POLL_S = 0.1
START_S = 120.0  # a first replica may have to fetch its model from an object store
REPLY_S = 60.0
FAILED = ("DEPLOY_FAILED", "UNHEALTHY")  # to start; what has answered before may yet be healthy again
GONE = ("NOT_STARTED", "DEPLOY_FAILED", "DELETING")  # of an application that nothing can be replaced in


class Control:
    """One application of this cluster's Serve."""

    def __init__(self, application: str) -> None:
        from ray.serve import context

        self.application = application
        self._decided: Plan | None = None
        context._check_cached_client_alive()  # a process may hold on to a Serve of this cluster that has ended

    def listening(self, place: Place) -> str:
        """Start Serve unless it runs, and return the address the application answers at.

        StepError where that is not the one that was asked for, or one that others reach and no key is asked for.
        """
        from ray import serve

        guarded(place, place.host)
        free = _port(place.host, place.port)
        options = {"runtime_env": {"env_vars": variables(place.limits.body_bytes)}}
        serve.start(http_options={"host": place.host, "port": free}, controller_options=options)
        found = serve.context._get_global_client().http_config
        host, port = found.host or place.host, found.port or free
        as_asked(place, host, port)
        guarded(place, host)
        return f"http://{host}:{port}{place.route if place.route != '/' else ''}"

    def running(self) -> bool:
        """Say whether the application is there, be it that some of its replicas are being replaced."""
        from ray import serve

        found = serve.status().applications.get(self.application)
        return found is not None and found.status not in GONE

    def ready(self, url: str) -> None:
        """Wait until an application that is there answers, and has a replica; StepError when it does not."""
        import urllib.request

        self._wait(FAILED[:1])
        if not self.tell_all("state"):  # scaled to none: a request waits until one is there
            urllib.request.urlopen(f"{url}/health", timeout=START_S).close()

    def apply(self, place: Place, plan: Plan, failed: tuple[str, ...] = FAILED) -> None:
        """Bring the application to where and what it is to be, and wait until it is; StepError when it fails."""
        from ray import serve
        from ray.serve.schema import ServeDeploySchema

        client = serve.context._get_global_client()
        others = [one for one in self._configured() if one["name"] != self.application]
        if takers := [one["name"] for one in others if one["route_prefix"] == place.route]:
            remedy = "give it a route of its own, or the application's name to replace what that serves"
            raise StepError(self.application, f"finds '{takers[0]}' at its route {place.route}", remedy=remedy)
        written = {"applications": [*others, application(place, plan, _environment())]}
        client.deploy_apps(ServeDeploySchema.model_validate(written))
        self._wait(failed)

    def _wait(self, failed: tuple[str, ...]) -> None:
        from ray import serve

        end = time.monotonic() + START_S
        while time.monotonic() < end:
            found = serve.status().applications.get(self.application)
            if found is not None and found.status == "RUNNING":
                return
            if found is not None and found.status in failed:
                told = [one.message for one in found.deployments.values() if one.message] or [found.message]
                raise StepError(self.application, f"does not start ({_last_line(told[0])})")
            time.sleep(POLL_S)
        raise StepError(self.application, f"does not start within {START_S:g} s", remedy="has the cluster CPUs left?")

    def tell_all(self, method: str, *arguments: Any, of: str | None = None) -> list[Any]:
        """Call a method of every replica that runs, and return what they return; those that die meanwhile do not."""
        from ray import serve
        from ray.exceptions import RayActorError
        from ray.serve.exceptions import DeploymentUnavailableError

        handle = serve.get_app_handle(of or self.application)
        try:
            found = handle.broadcast(method, *arguments).results(timeout_s=REPLY_S, return_exceptions=True)
        except DeploymentUnavailableError:  # there is none
            return []
        for one in found:
            if isinstance(one, BaseException) and not isinstance(one, RayActorError):
                raise one
        return [one for one in found if not isinstance(one, RayActorError)]

    def steer(self, plan: Plan) -> None:
        """Have every replica follow a plan: it is what was decided, be it that none is there to hear it."""
        self._decided = plan
        self.tell_all("steer", plan.model_dump(mode="json"))

    def plan(self) -> Plan:
        """Return the plan decided on last, here or by whoever steered before: replicas may have missed it."""
        if self._decided is not None:
            return self._decided
        plans = [Plan.model_validate(state["plan"]) for state in self.tell_all("state")]
        if (written := self.written()) is not None:  # what those read that come
            plans.append(Plan.model_validate(written["deployments"][0]["user_config"]))
        if not plans:
            raise StepError(self.application, "follows no plan", remedy="was it deployed by espalier?")
        return max(plans, key=lambda plan: plan.revision)

    def wanted(self) -> int:
        """Return how many replicas there are to be now."""
        from ray import serve

        details = serve.context._get_global_client().get_serve_details()["applications"]
        return int(details[self.application]["deployments"][DEPLOYMENT]["target_num_replicas"])

    def written(self) -> dict[str, Any] | None:
        """Return the configuration that Serve holds of the application, if any."""
        return next((one for one in self._configured() if one["name"] == self.application), None)

    def _configured(self) -> list[dict[str, Any]]:
        """Return the configurations of all applications."""
        from ray import serve

        found = serve.context._get_global_client().get_serve_details()["applications"]
        return [one["deployed_app_config"] for one in found.values() if one.get("deployed_app_config")]

    def settle(self, place: Place) -> None:
        """Write the plan decided on into Serve's configuration, without the key the deployment used."""
        plan = self.plan()
        self.steer(plan.model_copy(update={"keys": place.keys, "revision": plan.revision + 1}))
        self.apply(place, self.plan(), FAILED[:1])

    def persist(self) -> None:
        """Write the plan decided on into Serve's configuration, and change nothing else of it."""
        written = self.written()
        if written is None:
            raise StepError(self.application, "has no configuration to write the plan into")
        written["deployments"][0]["user_config"] = self.plan().model_dump(mode="json")
        self.put_back(written)
        self._wait(FAILED[:1])

    def put_back(self, written: dict[str, Any]) -> None:
        """Have Serve hold this configuration of the application."""
        from ray import serve
        from ray.serve.schema import ServeDeploySchema

        others = [one for one in self._configured() if one["name"] != self.application]
        document = ServeDeploySchema.model_validate({"applications": [*others, written]})
        serve.context._get_global_client().deploy_apps(document)

    def withdraw(self) -> None:
        """Take the application away."""
        from ray import serve

        serve.delete(self.application)


def application(place: Place, plan: Plan, environment: dict[str, Any]) -> dict[str, Any]:
    """Return the application as `serve deploy` and KubeRay's RayService take it."""
    return {
        "name": place.application,
        "route_prefix": place.route,
        "import_path": BUILD,
        "runtime_env": environment,
        "args": {"model": place.application, "host": place.host, "grpc_port": place.grpc_port},
        "deployments": [
            {
                "name": DEPLOYMENT,
                **_replicas(place),
                "max_ongoing_requests": plan.limits.requests * 2,  # the replica itself says that it has too many
                "max_queued_requests": plan.limits.requests * 2,
                "ray_actor_options": {"num_cpus": place.cpus} | labelled(place),
                "user_config": plan.model_dump(mode="json"),
                "logging_config": {"enable_access_log": False},  # it has one of its own
            }
        ],
    }


def threads(place: Place) -> int:
    """Return how many threads a replica runs a model with."""
    return max(1, int(place.cpus))


def labelled(place: Place) -> dict[str, Any]:
    """Return what Ray is told of the nodes that replicas may run on."""
    return {"label_selector": place.labels} if place.labels else {}


def guarded(place: Place, host: str) -> None:
    """Raise StepError for a host that other machines reach, without keys: behind HAProxy all seem to be this one."""
    if not place.keys and host != LOCALHOST and not is_loopback(host):
        found = f"would answer at {host}, which other machines reach, without a key"
        raise StepError(place.application, found, remedy="give it keys, or a cluster whose Serve listens on loopback")


def as_asked(place: Place, host: str, port: int) -> None:
    """Raise StepError where Serve, which runs already, does not listen where `place` insists on."""
    local = host == LOCALHOST or is_loopback(host)
    same = {"host": place.host == host or (local and place.host == LOCALHOST), "port": place.port in (0, port)}
    for name in place.insists:
        if not same[name]:
            wanted = f"{name} {getattr(place, name)}"
            remedy = f"leave {name} out to answer there, or end that Serve"
            raise StepError(place.application, f"finds this cluster's Serve at {host}:{port}", wanted, remedy)


def _replicas(place: Place) -> dict[str, Any]:
    if place.scale is None:
        return {"num_replicas": place.replicas}
    return {"num_replicas": "auto", "autoscaling_config": place.scale.written(place.replicas)}


def _environment() -> dict[str, Any]:
    """Return what this process was given to find its modules and variables, for processes that Serve starts."""
    import ray

    found = dict(ray.get_runtime_context().runtime_env)
    kept = {name: found[name] for name in ("env_vars", "working_dir", "py_modules") if name in found}
    env_vars = {name: value for name, value in kept.get("env_vars", {}).items() if name != "RAY_ADDRESS"}
    return {**kept, "env_vars": env_vars}


def _last_line(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it says nothing"


def _port(host: str, port: int) -> int:
    """Return the port to listen on; StepError when it is taken by anything but this cluster's Serve."""
    from ray import serve

    if serve.status().proxies:
        return port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            where = f"port {port} of {host}"
            raise StepError(
                where, f"cannot be listened on ({error.strerror})", remedy="set port to another, or to 0"
            ) from None
        return int(probe.getsockname()[1])
