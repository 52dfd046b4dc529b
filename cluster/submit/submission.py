"""A definition as a job of a cluster: its id, its command, and what happens when it is submitted twice.

Ids are `<name>-<digest>-<number>`, the digest one of all that is asked for. While such a job runs, to submit it again
finds it; once it has ended, the next number goes on from what it left in the store.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.environment import job_environment
from cluster.errors import ClusterError, RequestError
from cluster.submit.packing import Package
from cluster.submit.server import Job, Server

DIGITS = 10  # of the digest in an id
SUBMISSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Request:
    """What is to run on the cluster: the command, its package, and whether its versions are installed there first."""

    name: str
    command: Sequence[str]
    package: Package
    install: bool = False

    @property
    def stem(self) -> str:
        """What the ids of all its jobs begin with."""
        asked = "\0".join([*self.command, self.package.name, str(self.install)])
        return f"{self.name}-{hashlib.sha256(asked.encode()).hexdigest()[:DIGITS]}"


@dataclass(frozen=True)
class Submitted:
    """A job that runs; `found` when it was there before."""

    job: Job
    found: bool


def submit(server: Server, request: Request, identity: str | None = None) -> Submitted:
    """Start the job, or find it when it is there: the one named `identity`, whatever its state, else one that runs.

    Raises ClusterError when the cluster has another version of Ray, cannot be reached or refuses the job.
    """
    if identity is not None and not SUBMISSION.fullmatch(identity):
        raise RequestError(f"--submission-id {identity}", "is no id", "letters, digits, . _ and -, at most 128")
    check_version(server)
    if identity is not None and (there := server.job(identity)):
        return Submitted(there, found=True)
    before = [] if identity else _numbered(server.jobs(), request.stem)
    if before and before[-1][1].running:
        return Submitted(before[-1][1], found=True)
    if not server.has_package(request.package.name):
        server.put_package(request.package.name, request.package.data)
    return _started(server, request, identity or f"{request.stem}-{before[-1][0] + 1 if before else 1}")


def _started(server: Server, request: Request, identity: str) -> Submitted:
    try:
        server.start(
            {
                "entrypoint": "exec " + shlex.join(request.command),  # the command itself gets the signal that ends it
                "submission_id": identity,
                "runtime_env": job_environment(request.package.uri, install=request.install),
                "metadata": {"espalier": request.name},
            }
        )
    except ClusterError:
        there = server.job(identity)  # another may have submitted the same at the same time
        if there is None or there.entrypoint != "exec " + shlex.join(request.command):
            raise
        return Submitted(there, found=True)
    started = server.job(identity)
    assert started is not None, "the server has just taken it"
    return Submitted(started, found=False)


def _numbered(jobs: Sequence[Job], stem: str) -> list[tuple[int, Job]]:
    """Return the jobs whose ids are `stem` and a number, in the order of the numbers."""
    found = [(int(job.id.removeprefix(f"{stem}-")), job) for job in jobs if re.fullmatch(f"{stem}-[0-9]+", job.id)]
    return sorted(found, key=lambda pair: pair[0])


def check_version(server: Server) -> None:
    """Raise ClusterError unless the cluster runs the version of Ray that is installed here."""
    from importlib.metadata import version

    there, here = server.version(), version("ray")
    if there != here:
        remedy = f"install ray=={there} here, or start the cluster with ray=={here}"
        raise ClusterError(f"cluster {server.url}", f"runs Ray {there}", f"{here}, as here", remedy)
