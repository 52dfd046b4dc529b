"""A job's log as it grows, to the job's end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

from cluster.errors import ClusterError
from cluster.submit.server import CONNECT_S, Job, Server

PAUSE = 0.2  # seconds between two questions whether the job goes on
SILENCE = 15.0  # seconds without a line after which the head is asked whether it lives

ENDED_BADLY = 3
STOPPED = 130
CODES = (2, 3, 4, STOPPED)  # those a run ends with


def follow(server: Server, identity: str, show: Callable[[str], None]) -> Job:
    """Show the job's lines as they come, all from its first, and return the job once it has ended.

    Raises ClusterError when the cluster stops answering: what the job finished is in its store.
    """
    shown = asyncio.run(_tailed(server, identity, show))
    job = ended(server, identity)
    rest = server.log(identity)[shown:]  # what was printed as the connection closed
    if rest:
        show(rest)
    return job


def ended(server: Server, identity: str) -> Job:
    """Wait for the job's end, and return it."""
    while True:
        job = server.job(identity)
        if job is None:
            raise ClusterError(f"job {identity}", "is not known to the cluster", remedy="see `espalier jobs list`")
        if not job.running:
            return job
        time.sleep(PAUSE)


async def _tailed(server: Server, identity: str, show: Callable[[str], None]) -> int:
    """Show what comes until the connection closes, and return how many characters that were."""
    shown = 0
    async for text in _lines(server, identity):
        show(text)
        shown += len(text)
    return shown


async def _lines(server: Server, identity: str) -> AsyncIterator[str]:
    import aiohttp

    url = f"{server.url}/api/jobs/{quote(identity, safe='')}/logs/tail"
    limit = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
    with contextlib.suppress(aiohttp.ClientError):  # what is missing is read afterwards, or the server is gone
        async with (
            aiohttp.ClientSession(headers=server.headers, timeout=limit) as session,
            session.ws_connect(url, max_msg_size=0) as socket,
        ):
            while True:
                try:
                    message = await asyncio.wait_for(socket.receive(), SILENCE)
                except TimeoutError:
                    job = await asyncio.to_thread(server.job, identity)
                    if job is None or not job.running:
                        return
                    continue
                if message.type != aiohttp.WSMsgType.TEXT:
                    return
                yield message.data


def exit_code(job: Job) -> int:
    """Return the code to end with: that of the run in the job, 130 when it was stopped."""
    if job.status == "SUCCEEDED":
        return 0
    if job.status == "STOPPED":
        return STOPPED
    return job.exit_code if job.exit_code in CODES else ENDED_BADLY
