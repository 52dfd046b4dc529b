"""`none`: every trial trains to its end."""

from __future__ import annotations

from typing import Any, Literal

from jobs.sweeping.schedulers.scheduler import Scheduler, Watched


class Nothing(Scheduler):
    """No trial is stopped."""

    kind: Literal["none"] = "none"

    def scheduler(self, watched: Watched) -> Any:
        """Run trials first come, first served."""
        from ray.tune.schedulers import FIFOScheduler

        return FIFOScheduler()
