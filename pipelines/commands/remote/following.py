"""What the commands about jobs share: the cluster's dashboard, and a job's log shown to its end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.errors import ClusterError
from pipelines.commands.ends.stopping import STOPPED
from pipelines.console import say

if TYPE_CHECKING:
    from cluster.submit.server import Job, Server

Dashboard = Annotated[str | None, typer.Option(help="The cluster's dashboard, e.g. http://127.0.0.1:8265")]


def reached(address: str | None) -> Server:
    """Return the job server at `address`, telling when something else than --address named it."""
    from cluster.submit.server import Server, find_dashboard

    found = find_dashboard(address)
    if found.note:
        print(found.note, file=sys.stderr)
    return Server(found.url)


def attend(server: Server, identity: str) -> None:
    """Show the job's log to its end, and end as it did; Ctrl-C leaves the job running."""
    from cluster.submit.follow import exit_code, follow

    try:
        job = follow(server, identity, _show)
    except KeyboardInterrupt:
        more = f"{identity} --address {server.url}"
        print(
            f"\nthe job goes on; its log: espalier jobs logs -f {more}; to end it: espalier jobs cancel {more}",
            file=sys.stderr,
        )
        raise typer.Exit(STOPPED) from None
    except ClusterError as error:
        remedy = "what it finished is in its store: once the cluster answers, submit it again to go on"
        raise ClusterError(
            f"job {identity}", f"cannot be followed any more ({error.subject}: {error.found})", remedy=remedy
        ) from None
    say(f"{identity} {job.status.lower()}")
    if code := exit_code(job):
        tell_end(job, server)
        raise typer.Exit(code)


def tell_end(job: Job, server: Server) -> None:
    """Print why a job did not end well, where its log is and what to do."""
    because = f" ({job.message.strip().splitlines()[0][:300]})" if job.message.strip() else ""
    more = f"{job.id} --address {server.url}"
    print(
        f"error: job {job.id} {job.status.lower()}{because}\nits log: espalier jobs logs {more}\n"
        "submit it again to go on from what it finished",
        file=sys.stderr,
    )


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
