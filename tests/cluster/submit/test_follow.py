from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from aiohttp import web

from cluster.errors import ClusterError
from cluster.submit.follow import exit_code, follow
from cluster.submit.server import Job, Server

LINES = ["one\n", "two\n", "three\n"]


class Interrupted:
    """A job server whose connections close too early: the n-th after n lines; the job ends after the second."""

    def __init__(self) -> None:
        self.connections = 0
        self.known = True

    async def tail(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        for line in LINES[: self.connections]:
            await socket.send_str(line)
        await socket.close()
        return socket

    async def job(self, request: web.Request) -> web.Response:
        if not self.known:
            raise web.HTTPNotFound
        status = "SUCCEEDED" if self.connections == 2 else "RUNNING"
        return web.json_response({"submission_id": "j-1", "status": status, "entrypoint": "x"})

    async def log(self, request: web.Request) -> web.Response:
        return web.json_response({"logs": "".join(LINES)})


@pytest.fixture
def interrupted() -> Iterator[tuple[Interrupted, Server]]:
    fake, loop, ready = Interrupted(), asyncio.new_event_loop(), threading.Event()
    urls: list[str] = []

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/api/jobs/j-1/logs/tail", fake.tail)
        app.router.add_get("/api/jobs/j-1/logs", fake.log)
        app.router.add_get("/api/jobs/j-1", fake.job)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        urls.append("http://{}:{}".format(*runner.addresses[0]))
        return runner

    def serve() -> None:
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(10)
    yield fake, Server(urls[0], "")
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_connection_that_closes_early_loses_and_repeats_no_line(interrupted: tuple[Interrupted, Server]) -> None:
    fake, server = interrupted
    shown: list[str] = []
    job = follow(server, "j-1", shown.append)
    assert (shown, job.status, fake.connections) == (LINES, "SUCCEEDED", 2)


def test_a_job_that_the_cluster_forgot(interrupted: tuple[Interrupted, Server]) -> None:
    fake, server = interrupted
    fake.known = False
    with pytest.raises(ClusterError) as lost:
        follow(server, "j-1", lambda text: None)
    assert str(lost.value) == "job j-1: is not known to the cluster; see `espalier jobs list`"


@pytest.mark.parametrize(
    ("status", "found", "code"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 2, 2),
        ("FAILED", 4, 4),
        ("FAILED", 1, 3),
        ("FAILED", -9, 3),
        ("FAILED", None, 3),
        ("STOPPED", None, 130),
    ],
)
def test_the_code_is_the_runs(status: str, found: int | None, code: int) -> None:
    assert exit_code(Job("j", status, "x", exit_code=found)) == code
