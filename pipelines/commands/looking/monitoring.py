"""`espalier monitoring`: files for Prometheus and Grafana, from the metrics that every package declares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cluster.errors import RequestError
from cluster.monitoring.dashboard import dashboard
from cluster.monitoring.prometheus import DISCOVERY, RULES, rules, scrape
from pipelines.commands.app import app, example
from pipelines.console import say
from pipelines.watching.metrics import alerts, packages


@app.command(epilog=example("espalier monitoring --write monitoring"))
def monitoring(
    write: Annotated[Path, typer.Option(metavar="DIR", help="Folder the files are written into")],
    target: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="A node's metrics port; without it Ray's list is read")
    ] = None,
    discovery: Annotated[str, typer.Option(metavar="FILE", help="Ray's list of nodes, on its head")] = DISCOVERY,
) -> None:
    """Write dashboard.json (Grafana), prometheus.yaml (what to scrape) and alerts.yaml into DIR."""
    import yaml

    files = {
        "dashboard.json": json.dumps(dashboard("Espalier", packages()), indent=1) + "\n",
        "prometheus.yaml": yaml.safe_dump(scrape(target or (), discovery), sort_keys=False),
        RULES: yaml.safe_dump(rules(alerts()), sort_keys=False),
    }
    try:
        write.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (write / name).write_text(text)
    except OSError as error:
        raise RequestError(str(write), f"cannot be written ({error.strerror})", "a folder") from None
    say(f"{', '.join(files)} in {write}; start it: prometheus --config.file={write}/prometheus.yaml")
