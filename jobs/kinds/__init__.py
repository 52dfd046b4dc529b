"""The kinds of job, one file each. A new kind is one file and one line here."""

from jobs.job import Job

Job.found_in(
    {
        "compress": "jobs.kinds.compress",
        "dataset": "jobs.kinds.dataset",
        "deploy": "jobs.kinds.deploy",
        "evaluate": "jobs.kinds.evaluate",
        "fuse": "jobs.kinds.fuse",
        "report": "jobs.kinds.report",
        "score": "jobs.kinds.score",
        "search": "jobs.kinds.search",
        "sweep": "jobs.kinds.sweep",
        "train": "jobs.kinds.train",
    }
)
