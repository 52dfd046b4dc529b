"""Schedulers, one file each: which trials go on, and with what. A new one is one file and one line here."""

from jobs.sweeping.schedulers.scheduler import Scheduler, Watched

__all__ = ["Scheduler", "Watched"]

Scheduler.found_in(
    {
        "asha": "jobs.sweeping.schedulers.asha",
        "hyperband": "jobs.sweeping.schedulers.hyperband",
        "median": "jobs.sweeping.schedulers.median",
        "none": "jobs.sweeping.schedulers.none",
        "pb2": "jobs.sweeping.schedulers.pb2",
        "pbt": "jobs.sweeping.schedulers.pbt",
    }
)
