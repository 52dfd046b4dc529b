"""A Grafana dashboard, drawn from the metrics that packages declare: one row a package, one panel a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cluster.metrics import Metric

SCHEMA = 39  # of the dashboard's JSON: Grafana 10.4; newer ones migrate it
WIDTH, HEIGHT = 8, 7  # of a panel, where the page is 24 wide
PACE = "2m"  # counters export about every ten seconds; a rate needs two values, a scrape that failed must not gap it
QUANTILES = (0.5, 0.99)
SOURCE = {"type": "prometheus", "uid": "${source}"}
CHOSEN = ("definition", "step")  # tags of which a page shows those that were chosen
UNITS = {"seconds": "s", "bytes": "bytes", "per_second": "ops"}


def expressions(metric: Metric, chosen: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what to ask Prometheus of a metric, by the legend of each answer; `chosen` are regular expressions."""
    tags = [tag for tag in metric.tags if tag in (chosen or {})]
    only = "{" + ", ".join(f'{tag}=~"{(chosen or {})[tag]}"' for tag in tags) + "}" if tags else ""
    by = ", ".join(metric.tags)
    legend = " ".join(f"{{{{{tag}}}}}" for tag in metric.tags if tag != "run")
    if metric.kind == "gauge":
        return {legend: f"max by ({by}) ({metric.exported}{only})"}
    if metric.kind == "counter":
        return {legend: f"sum by ({by}) (rate({metric.exported}{only}[{PACE}]))"}
    buckets = f"sum by ({by}, le) (rate({metric.exported}_bucket{only}[{PACE}]))"
    return {f"p{round(q * 100)} {legend}": f"histogram_quantile({q}, {buckets})" for q in QUANTILES}


def dashboard(title: str, packages: Mapping[str, Sequence[Metric]]) -> dict[str, Any]:
    """Return the JSON that Grafana imports: rows and panels of the packages' metrics."""
    panels: list[dict[str, Any]] = []
    top = 0
    for package, metrics in packages.items():
        panels.append({"type": "row", "title": package, "collapsed": False, "gridPos": _at(0, top, 24, 1)})
        top += 1
        for number, metric in enumerate(metrics):
            column, row = number % 3, number // 3
            panels.append(_panel(metric, _at(column * WIDTH, top + row * HEIGHT, WIDTH, HEIGHT)))
        top += -(-len(metrics) // 3) * HEIGHT
    for number, panel in enumerate(panels):
        panel["id"] = number + 1
    first = next(metric for metrics in packages.values() for metric in metrics if set(CHOSEN) <= set(metric.tags))
    return {
        "title": title,
        "uid": "espalier",
        "schemaVersion": SCHEMA,
        "tags": ["espalier", "ray"],
        "editable": True,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "10s",
        "templating": {"list": [_source(), *(_choice(tag, first) for tag in CHOSEN)]},
        "panels": panels,
    }


def _panel(metric: Metric, place: dict[str, int]) -> dict[str, Any]:
    asked = expressions(metric, {tag: f"${tag}" for tag in CHOSEN})
    targets = [
        {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
        for number, (legend, expression) in enumerate(asked.items())
    ]
    return {
        "type": "timeseries",
        "title": metric.help,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": _unit(metric)}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    }


def _unit(metric: Metric) -> str:
    if metric.kind == "counter":
        return "ops"
    return next((unit for ending, unit in UNITS.items() if metric.name.endswith(ending)), "short")


def _at(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


def _source() -> dict[str, Any]:
    return {"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"}


def _choice(tag: str, metric: Metric) -> dict[str, Any]:
    values = f"label_values({metric.exported}, {tag})"
    many = {"multi": True, "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    return {"name": tag, "type": "query", "datasource": SOURCE, "query": values, "refresh": 2, **many}
