"""How many replicas there are: by the requests that each holds, between a least and a most."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from jobs.spec import Spec


class Scale(Spec):
    """Replicas are added and taken away so that each holds about `ongoing` requests; with none at least, down to zero.

    Without a replica the first request waits for one: it is started for it.
    """

    least: Annotated[int, Field(ge=0, le=1000, description="0: none where nobody asks")] = 1
    most: Annotated[int, Field(ge=1, le=1000)]
    ongoing: Annotated[float, Field(gt=0, le=10_000, description="Requests in hand that a replica is to have")] = 8.0
    up_s: Annotated[float, Field(ge=0, le=3600, description="For which there must be too few")] = 5.0
    down_s: Annotated[float, Field(ge=0, le=86_400, description="For which there must be too many")] = 300.0

    def written(self, started: int) -> dict[str, Any]:
        """Return it as Ray Serve's `autoscaling_config`; so many replicas are started at first."""
        return {
            "min_replicas": self.least,
            "initial_replicas": min(self.most, max(1, self.least, started)),
            "max_replicas": self.most,
            "target_ongoing_requests": self.ongoing,
            "upscale_delay_s": self.up_s,
            "downscale_delay_s": self.down_s,
        }
