"""`espalier doctor`: what is wrong with this machine, or with a cluster, and how to mend it."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable
from typing import Annotated

import typer

from cluster.doctor.check import Finding
from cluster.errors import ClusterError
from cluster.session import address_of, connected
from pipelines.commands.app import RUNS, Address, StoreAt, app, example
from pipelines.console import say

MARKS = {"ok": "ok     ", "warning": "warning", "error": "error  "}


@app.command(epilog=example("espalier doctor --address 10.0.0.1:6379 --store s3://bucket/runs"))
def doctor(
    address: Address = None,
    store: StoreAt = RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line")] = False,
) -> None:
    """Examine this machine, and every node of the cluster at --address; 0 when nothing is an error, else 4."""
    from cluster.doctor import checks
    from cluster.doctor.examine import examine
    from jobs.doctor import checks as checks_of_jobs

    gc.enable()
    asked = [*checks(store), *checks_of_jobs()]
    if address_of(address) is None:
        told = _told(examine(asked, nodes=False), as_json)
    else:
        with connected(address):
            told = _told(examine(asked, nodes=True), as_json)
    errors, warnings = told.count("error"), told.count("warning")
    if not as_json:
        say(f"{len(told)} looked at, {warnings} warnings, {errors} errors")
    if errors:
        raise typer.Exit(ClusterError.exit_code)


def _told(findings: Iterable[Finding], as_json: bool) -> list[str]:
    """Print each finding as it comes, and return the states."""
    states: list[str] = []
    for finding in findings:
        states.append(finding.state)
        if as_json:
            say(json.dumps(finding.document()))
            continue
        remedy = f"\n         → {finding.remedy}" if finding.remedy else ""
        say(f"{MARKS[finding.state]}  {finding.check}, {finding.where}: {finding.text}{remedy}")
    return states
