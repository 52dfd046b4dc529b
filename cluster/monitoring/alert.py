"""What should wake somebody: declared beside the metrics it is about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Alert:
    """An expression of Prometheus that holds for `minutes` when something is wrong; `summary` may name its labels."""

    name: str
    expression: str
    minutes: int
    summary: str
    severity: str = "warning"
