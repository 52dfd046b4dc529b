"""A metric as it is declared, once: whatever measures makes it from there, and dashboards are drawn from the same list.

Ray exports a counter called `name` as `ray_<name>_total`, a gauge as `ray_<name>`, and a histogram as
`ray_<name>_bucket`, `_sum` and `_count`, each about ten seconds after it changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Metric:
    """What is measured, in the unit its name ends in, and the tags each of its values carries, all of them always."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    tags: tuple[str, ...]
    buckets: tuple[float, ...] = ()  # upper bounds, of a histogram

    @property
    def exported(self) -> str:
        """The name Prometheus knows it by; of a histogram without `_bucket`, `_sum` and `_count`."""
        return f"ray_{self.name}_total" if self.kind == "counter" else f"ray_{self.name}"

    def made(self) -> Any:
        """Return Ray's metric, in a process of a cluster: `inc`, `set` or `observe` take a value and its `tags`."""
        from ray.util import metrics

        if self.kind == "histogram":
            return metrics.Histogram(self.name, self.help, list(self.buckets), self.tags)
        return {"counter": metrics.Counter, "gauge": metrics.Gauge}[self.kind](self.name, self.help, self.tags)
