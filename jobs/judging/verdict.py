"""Holds what was measured of a model to what is required of it, and says where more rows could turn the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.runtime.intervals import one_sided, paired, wilson

if TYPE_CHECKING:
    from jobs.kinds.evaluate import Require

SLACK = 1e-9  # 0.97 is not 0.01 below 0.98 in binary
LEAST = ("accuracy", "balanced_accuracy", "macro_f1", "macro_average_precision", "coverage", "accepted_accuracy")

SHARES = {"size_share": "size_bytes", "gzip_share": "gzip_bytes"}  # of the first model's


@dataclass(frozen=True)
class Verdict:
    """The requirements of one model, what was measured of it, and of the first model."""

    name: str
    limits: Require
    found: Mapping[str, Any]
    first: Mapping[str, Any]

    def shortfalls(self) -> Iterator[str]:
        """Yield a sentence for every threshold missed: model, metric, value, threshold."""
        for metric, limit in self.limits.model_dump(exclude_none=True, exclude={"confidence"}).items():
            value, words = self._held(metric)
            least = metric in LEAST
            if value is None or (value < limit - SLACK if least else value > limit + SLACK):
                shown = "of no row" if value is None else f"{value:.4g}"
                yield f"{self.name}: {metric} {words} {shown}, required {'>=' if least else '<='} {limit:g}"

    def within_noise(self) -> list[str]:
        """Return a sentence for each threshold on accuracy or its drop that lies inside the 95 % interval.

        There is none of a threshold that was held with `confidence` and met: it was chosen not to be luck.
        """
        found = []
        for metric, limit in (("accuracy", self.limits.accuracy), ("accuracy_drop", self.limits.accuracy_drop)):
            bounds = self._interval(metric) if limit is not None else None
            if bounds is None or limit is None or not bounds[0] < limit < bounds[1]:
                continue
            value, _ = self._held(metric)
            assert value is not None, "what has an interval has a value"
            met = value >= limit - SLACK if metric in LEAST else value <= limit + SLACK
            if self.limits.confidence is not None and met:
                continue
            found.append(
                f"{self.name}: that {metric} {'meets' if met else 'misses'} {limit:g} is within noise: "
                f"95 % interval {bounds[0]:.4f} to {bounds[1]:.4f} on {self.found['rows']:,} rows"
            )
        return found

    def _held(self, metric: str) -> tuple[float | None, str]:
        """Return the value a threshold is held to, and the words that introduce it."""
        level = self.limits.confidence
        if level is not None and metric in ("accuracy", "accuracy_drop"):
            low, high = self._bounds(metric, one_sided(level))
            return low if metric in LEAST else high, f"at confidence {level:g} is"
        if metric in SHARES:
            return self.found[SHARES[metric]] / self.first[SHARES[metric]], "is"
        values = {
            "accuracy_drop": self.first["accuracy"] - self.found["accuracy"],
            "ece": self.found.get("calibration", {}).get("ece"),
            "coverage": self.found.get("reject", {}).get("coverage"),
            "accepted_accuracy": self.found.get("reject", {}).get("accuracy"),
        }
        value: float | None = values[metric] if metric in values else self.found.get(metric)
        return value, "is"

    def _interval(self, metric: str) -> tuple[float, float] | None:
        """Return the two-sided 95 % interval of a metric; None where the rows that tell were not kept."""
        if "rows" not in self.found or (metric == "accuracy_drop" and "against" not in self.found):
            return None
        return self._bounds(metric, None)

    def _bounds(self, metric: str, z: float | None) -> tuple[float, float]:
        rows = self.found["rows"]
        if metric == "accuracy":
            return wilson(round(self.found["accuracy"] * rows), rows, z)
        if "against" not in self.found:  # the first model itself
            return 0.0, 0.0
        low, high = paired(self.found["against"]["lost"], self.found["against"]["gained"], rows, z)
        return -high, -low
