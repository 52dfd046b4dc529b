"""What a step needs of a cluster, and whether the cluster can ever hold it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resources:
    """CPUs and GPUs held at once."""

    cpus: float = 0
    gpus: float = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(self.cpus + other.cpus, self.gpus + other.gpus)

    def __sub__(self, other: Resources) -> Resources:
        return Resources(self.cpus - other.cpus, self.gpus - other.gpus)

    def fits(self, total: Resources) -> bool:
        """Say whether `total` could hold this, were nothing else running."""
        return self.cpus <= total.cpus and self.gpus <= total.gpus

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU"] + ([f"{self.gpus:g} GPU"] if self.gpus else [])
        return ", ".join(parts)
