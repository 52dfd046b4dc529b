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
    shown = 0
    while True:
        shown = max(shown, asyncio.run(_tailed(server, identity, show, shown)))
        job = _known(server, identity)
        if not job.running:
            break
        time.sleep(PAUSE)  # the connection closed before the job did: what comes next is the log from its first line
    if rest := server.log(identity)[shown:]:  # what was printed as the connection closed
        show(rest)
    return job


def _known(server: Server, identity: str) -> Job:
    job = server.job(identity)
    if job is None:
        raise ClusterError(f"job {identity}", "is not known to the cluster", remedy="see `espalier jobs list`")
    return job


async def _tailed(server: Server, identity: str, show: Callable[[str], None], shown: int) -> int:
    """Show what comes after the first `shown` characters until the connection closes; return how many came."""
    came = 0
    async for text in _lines(server, identity):
        if new := text[max(0, shown - came) :]:
            show(new)
        came += len(text)
    return came


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
