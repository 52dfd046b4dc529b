"""Distributions that fields are drawn from, one file each. A new one is one file and one line here."""

from jobs.sweeping.distributions.distribution import Distribution

__all__ = ["Distribution"]

Distribution.found_in(
    {
        "choice": "jobs.sweeping.distributions.choice",
        "integer": "jobs.sweeping.distributions.integer",
        "log_uniform": "jobs.sweeping.distributions.log_uniform",
        "uniform": "jobs.sweeping.distributions.uniform",
    }
)
