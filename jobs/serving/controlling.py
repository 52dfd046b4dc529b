"""Speaks to Ray Serve about one application: starts it from a Serve configuration, and steers its replicas."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

from cluster.errors import StepError
from jobs.serving.front import variables
from jobs.serving.plan import Plan

if TYPE_CHECKING:
    from jobs.serving.application import Place

DEPLOYMENT = "classifier"
BUILD = "jobs.serving.building:build"
POLL_S = 0.1
START_S = 120.0  # a first replica may have to fetch its model from an object store
REPLY_S = 60.0


class Control:
    """One application of this cluster's Serve."""

    def __init__(self, application: str) -> None:
        from ray.serve import context

        self.application = application
        context._check_cached_client_alive()  # a process may hold on to a Serve of this cluster that has ended

    def listening(self, host: str, port: int, route: str, cap: int) -> str:
        """Start Serve unless it runs, and return the address the application answers at; `cap` is of bodies."""
        from ray import serve

        free = _port(host, port)
        options = {"runtime_env": {"env_vars": variables(cap)}}
        serve.start(http_options={"host": host, "port": free}, controller_options=options)
        found = serve.context._get_global_client().http_config
        return f"http://{found.host or host}:{found.port or free}{route if route != '/' else ''}"

    def running(self) -> bool:
        """Say whether the application is there and answers."""
        from ray import serve

        found = serve.status().applications.get(self.application)
        return found is not None and found.status == "RUNNING"

    def apply(self, place: Place, plan: Plan) -> None:
        """Bring the application to where and what it is to be, and wait until it is; StepError when it fails."""
        from ray import serve
        from ray.serve.schema import ServeDeploySchema

        client = serve.context._get_global_client()
        others = [
            one["deployed_app_config"]
            for name, one in client.get_serve_details()["applications"].items()
            if name != self.application and one.get("deployed_app_config")
        ]
        if takers := [one["name"] for one in others if one["route_prefix"] == place.route]:
            remedy = "give it a route of its own, or the application's name to replace what that serves"
            raise StepError(self.application, f"finds '{takers[0]}' at its route {place.route}", remedy=remedy)
        written = {"applications": [*others, application(place, plan, _environment())]}
        client.deploy_apps(ServeDeploySchema.model_validate(written))
        self._wait()

    def _wait(self) -> None:
        from ray import serve

        end = time.monotonic() + START_S
        while time.monotonic() < end:
            found = serve.status().applications.get(self.application)
            if found is not None and found.status == "RUNNING":
                return
            if found is not None and found.status in ("DEPLOY_FAILED", "UNHEALTHY"):
                failed = [one.message for one in found.deployments.values() if one.message] or [found.message]
                raise StepError(self.application, f"does not start ({_last_line(failed[0])})")
            time.sleep(POLL_S)
        raise StepError(self.application, f"does not start within {START_S:g} s", remedy="has the cluster CPUs left?")

    def tell_all(self, method: str, *arguments: Any, of: str | None = None) -> list[Any]:
        """Call a method of every replica that runs, and return what they return."""
        from ray import serve

        handle = serve.get_app_handle(of or self.application)
        return list(handle.broadcast(method, *arguments).results(timeout_s=REPLY_S))

    def plan(self) -> Plan:
        """Return the plan the replicas follow: the one that most was done with, should they differ."""
        plans = [Plan.model_validate(state["plan"]) for state in self.tell_all("state")]
        if not plans:  # scaled to none: those that come read it from the configuration
            return Plan.model_validate(self._written()["deployments"][0]["user_config"])
        return max(plans, key=lambda plan: len(plan.history))

    def wake(self, url: str) -> None:
        """Have a replica started where there is none: a request waits until it is there."""
        import urllib.request

        if not self.tell_all("state"):
            urllib.request.urlopen(f"{url}/health", timeout=START_S).close()

    def _written(self) -> dict[str, Any]:
        """Return the configuration that Serve holds of the application."""
        from ray import serve

        details = serve.context._get_global_client().get_serve_details()
        written: dict[str, Any] = details["applications"][self.application]["deployed_app_config"]
        return written

    def settle(self, place: Place) -> None:
        """Write the plan that is followed into Serve's configuration, without the key the deployment used."""
        plan = self.plan()
        settled = plan.model_copy(update={"keys": place.keys})
        self.tell_all("steer", settled.model_dump(mode="json"))
        self.apply(place, settled)

    def persist(self) -> None:
        """Write the plan that is followed into Serve's configuration, and change nothing else of it."""
        from ray import serve
        from ray.serve.schema import ServeDeploySchema

        client = serve.context._get_global_client()
        found = client.get_serve_details()["applications"]
        written = [one["deployed_app_config"] for one in found.values() if one.get("deployed_app_config")]
        (ours,) = [one for one in written if one["name"] == self.application]
        ours["deployments"][0]["user_config"] = self.plan().model_dump(mode="json")
        client.deploy_apps(ServeDeploySchema.model_validate({"applications": written}))
        self._wait()

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
                "ray_actor_options": {"num_cpus": place.cpus},
                "user_config": plan.model_dump(mode="json"),
                "logging_config": {"enable_access_log": False},  # it has one of its own
            }
        ],
    }


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
