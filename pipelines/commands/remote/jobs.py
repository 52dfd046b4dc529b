"""`espalier jobs`: the jobs of a cluster: list, status, logs, cancel."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.errors import ClusterError, RequestError
from pipelines.commands.app import app, example, when
from pipelines.commands.remote.following import Dashboard, attend, reached
from pipelines.console import columns, duration, say
from pipelines.language.mistakes import suggest_or_list

if TYPE_CHECKING:
    from cluster.submit.server import Job, Server

CANCEL_S = 60.0  # how long a job may take to end after it was told to

jobs = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(
    jobs, name="jobs", help="Look after jobs that were submitted.", epilog=example("espalier jobs logs -f news-1f3a-1")
)

Identity = Annotated[str, typer.Argument(metavar="ID", help="The id that `espalier submit` printed")]


@jobs.command("list", epilog=example("espalier jobs list --address http://127.0.0.1:8265"))
def list_jobs(address: Dashboard = None) -> None:
    """List the cluster's jobs, the latest first."""
    found = reached(address).jobs()
    for line in columns((job.id, job.status.lower(), _times(job), job.entrypoint) for job in found):
        say(line)
    if not found:
        say("no job was submitted")


@jobs.command(epilog=example("espalier jobs status news-1f3a-1"))
def status(
    identity: Identity,
    address: Dashboard = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object")] = False,
) -> None:
    """Say how a job stands."""
    server = reached(address)
    job = _known(server, identity)
    if as_json:
        say(json.dumps({"id": job.id, "status": job.status, "exit_code": job.exit_code, "message": job.message}))
        return
    say(f"{job.id} {job.status.lower()}, {_times(job)}")
    if job.message.strip():
        say(job.message.strip())
    say(f"dashboard: {server.url}/#/jobs/{job.id}")


@jobs.command(epilog=example("espalier jobs logs -f news-1f3a-1"))
def logs(
    identity: Identity,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends, and end as it did")] = False,
    address: Dashboard = None,
) -> None:
    """Print what a job told."""
    server = reached(address)
    _known(server, identity)
    if follow:
        attend(server, identity)
    else:
        print(server.log(identity), end="")


@jobs.command(epilog=example("espalier jobs cancel news-1f3a-1"))
def cancel(identity: Identity, address: Dashboard = None) -> None:
    """End a job; what it finished stays in its store, and to submit it again goes on from there."""
    server = reached(address)
    job = _known(server, identity)
    server.stop(identity)
    until = time.monotonic() + CANCEL_S
    while job.running and time.monotonic() < until:
        time.sleep(0.2)
        job = _known(server, identity)
    if job.running:
        raise ClusterError(
            f"job {identity}",
            f"was told to end, and still is {job.status.lower()} after {CANCEL_S:g} s",
            remedy=f"cancel it again, or see why: espalier jobs logs {identity} --address {server.url}",
        )
    say(f"{identity} {job.status.lower()}")


def _known(server: Server, identity: str) -> Job:
    job = server.job(identity)
    if job is None:
        known = {one.id: one for one in server.jobs()}
        raise RequestError(f"job {identity}", f"is not known to {server.url}{suggest_or_list(identity, known)}")
    return job


def _times(job: Job) -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(job.started / 1000))
    took = (job.ended / 1000 or time.time()) - job.started / 1000
    return f"{when(stamp)}, {duration(max(0.0, took))}"
