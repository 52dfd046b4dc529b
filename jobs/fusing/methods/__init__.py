"""Ways to make one model of several, one file each. A new way is one file and one line here."""

from jobs.fusing.methods.method import FuseMethod

__all__ = ["FuseMethod"]

FuseMethod.found_in(
    {
        "average": "jobs.fusing.methods.average",
        "soup": "jobs.fusing.methods.soup",
        "swa": "jobs.fusing.methods.swa",
        "vote": "jobs.fusing.methods.vote",
    }
)
