"""Methods of architecture search, one file each. A new one is one file and one line here."""

from jobs.searching.methods.method import Method

__all__ = ["Method"]

Method.found_in(
    {
        "evolution": "jobs.searching.methods.evolution",
        "supernet": "jobs.searching.methods.supernet",
    }
)
