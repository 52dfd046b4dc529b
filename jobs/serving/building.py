"""What Serve imports to make the application: `jobs.serving.building:build`, whose annotation it reads as a class."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from jobs.serving.plan import Plan


class Arguments(BaseModel):
    """The arguments of the Serve configuration: the model's name, and where gRPC is listened to, if it is."""

    model_config = ConfigDict(extra="forbid")

    model: str
    host: str = "127.0.0.1"
    grpc_port: int | None = None


def build(arguments: Arguments) -> Any:
    """Return the application; its one deployment gets its plan by `user_config`."""
    return bound(Plan(model=arguments.model), {"num_cpus": 1}, arguments.host, arguments.grpc_port)


def bound(plan: Plan, options: dict[str, Any], host: str = "127.0.0.1", grpc_port: int | None = None) -> Any:
    """Return the application, its replicas placed by Ray's `options` unless Serve's configuration says otherwise."""
    from ray import serve

    from jobs.serving.controlling import DEPLOYMENT
    from jobs.serving.replica import deployment

    made = serve.deployment(
        deployment(),
        name=DEPLOYMENT,
        ray_actor_options=options,
        max_surge_percent=100,
        health_check_timeout_s=10,
    )
    return made.bind(plan.model_dump(mode="json"), host, grpc_port)
