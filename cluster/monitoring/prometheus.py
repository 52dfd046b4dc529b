"""Files of Prometheus: where it finds the nodes of a Ray cluster, and when it wakes somebody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cluster.monitoring.alert import Alert

DISCOVERY = "/tmp/ray/prom_metrics_service_discovery.json"  # Ray's head keeps it: nodes come and go
SCRAPE, EVALUATE = "10s", "30s"  # Ray's processes export every ten seconds
RULES = "alerts.yaml"


def scrape(targets: Sequence[str] = (), discovery: str = DISCOVERY, every: str = SCRAPE) -> dict[str, Any]:
    """Return the configuration: nodes at `targets` (host:port), else those that Ray's head tells in `discovery`."""
    named, told = {"static_configs": [{"targets": list(targets)}]}, {"file_sd_configs": [{"files": [discovery]}]}
    return {
        "global": {"scrape_interval": every, "evaluation_interval": EVALUATE},
        "rule_files": [RULES],
        "scrape_configs": [{"job_name": "ray", **(named if targets else told)}],
    }


def rules(alerts: Sequence[Alert]) -> dict[str, Any]:
    """Return the file of alerts."""
    return {"groups": [{"name": "espalier", "rules": [_rule(alert) for alert in alerts]}]}


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": f"{alert.minutes}m",
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary},
    }
