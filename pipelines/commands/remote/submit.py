"""`espalier submit`: hands a definition to a cluster as a job, and shows what it tells until its end."""

from __future__ import annotations

import gc
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from cluster.errors import RequestError
from cluster.folder import Folder
from pipelines.commands.app import RUNS, Definition, Sets, StoreAt, app, example, loaded
from pipelines.commands.remote.following import Dashboard, attend, reached
from pipelines.console import say

if TYPE_CHECKING:
    from cluster.submit.submission import Request


@app.command(epilog=example("espalier submit news.yaml --address http://127.0.0.1:8265 --store s3://bucket/runs"))
def submit(
    definition: Definition,
    sets: Sets = None,
    store: StoreAt = RUNS,
    fresh: Annotated[
        list[str] | None, typer.Option(metavar="STEP", help="Make a step, and what depends on it, afresh")
    ] = None,
    address: Dashboard = None,
    working_dir: Annotated[
        Path, typer.Option(help="The folder the job runs in: the definition, and data it names by relative paths")
    ] = Path(),
    identity: Annotated[
        str | None, typer.Option("--submission-id", help="The job's id: one that exists is found, never run twice")
    ] = None,
    install: Annotated[
        bool, typer.Option(help="Have the nodes install the pinned versions first, which takes minutes")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Show the job's log until it ends; --no-wait returns at once")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Have the run print one JSON object an event")] = False,
) -> None:
    """Run a definition on a cluster; the nodes read and write the store, so name one that all of them reach."""
    from cluster.submit.submission import submit as hand_over

    pipeline = loaded(definition, sets, warns=True)
    options = [part for value in sets or [] for part in ("--set", value)]
    options += [part for step in fresh or [] for part in ("--fresh", step)]
    server = reached(address)
    options += ["--store", _lasting(store, server.url), *(["--json"] if as_json else [])]
    gc.enable()
    request = _request(pipeline.name, definition, working_dir, options, install)
    submitted = hand_over(server, request, identity)
    what = f"found {submitted.job.id}, {submitted.job.status}" if submitted.found else f"submitted {submitted.job.id}"
    say(f"{what}: {request.package.files} files, {len(request.package.data):,} bytes" if not submitted.found else what)
    if wait:
        attend(server, submitted.job.id)
    else:
        say(f"its log: espalier jobs logs -f {submitted.job.id} --address {server.url}")


def _lasting(store: str, url: str) -> str:
    """Return the store as the job names it: a local folder by its whole path, for the job's own folder is deleted.

    RequestError where the cluster is another machine's, on which a path that counts from here means nothing.
    """
    folder = Folder.parse(store)
    if not folder.is_local:
        return store
    if not Path(store).is_absolute() and not _is_here(url):
        raise RequestError(
            f"--store {store}",
            f"is a folder of this machine, and the cluster {url} is another",
            "a whole path that all its nodes mount, or a URI",
            "name it with --store or ESPALIER_STORE, e.g. s3://bucket/runs",
        )
    return str(folder.path.absolute())


def _is_here(url: str) -> bool:
    """Say whether a URL is of this machine's loopback."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _request(name: str, definition: Path, folder: Path, options: list[str], install: bool) -> Request:
    from cluster.submit.packing import pack
    from cluster.submit.submission import Request

    root = folder.absolute().resolve()
    try:
        inside = definition.absolute().resolve().relative_to(root)
    except ValueError:
        raise RequestError(
            str(definition), "lies outside the working folder", f"one below {root}", "name it with --working-dir"
        ) from None
    command = ["python", "-m", "pipelines", "run", str(inside), *options]
    return Request(name, command, pack(root), install)
