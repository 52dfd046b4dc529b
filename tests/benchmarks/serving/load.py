"""Load on an HTTP server: wrk where it is installed, else a Python client, which is slower and says so."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.harness import Broken

CLIENT = "wrk, one thread" if shutil.which("wrk") else "a Python client: install wrk for what the servers can do"
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass(frozen=True)
class Asked:
    """A request that is made again and again; without a body it is a GET."""

    url: str
    body: bytes = b""
    kind: str = ""
    length: str = ""  # of the JSON before binary tensors

    @property
    def headers(self) -> dict[str, str]:
        """The headers of its body."""
        given = {"Content-Type": self.kind, "Inference-Header-Content-Length": self.length}
        return {name: value for name, value in given.items() if value}

    @property
    def method(self) -> str:
        """POST where there is a body."""
        return "POST" if self.body else "GET"


@dataclass(frozen=True)
class Load:
    """What a server did under load."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float


def load(asked: Asked, connections: int, seconds: float) -> Load:
    """Ask again over so many connections for so long; Broken when any request is not answered with 200."""
    return (
        _wrk(asked, connections, seconds) if shutil.which("wrk") else asyncio.run(_python(asked, connections, seconds))
    )


def _wrk(asked: Asked, connections: int, seconds: float) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        script = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency"]
        if asked.body:
            body, lua = Path(folder) / "body", Path(folder) / "post.lua"
            body.write_bytes(asked.body)
            lines = ['wrk.method = "POST"', f'wrk.body = io.open({json.dumps(str(body))}, "rb"):read("*a")']
            lines += [f'wrk.headers["{name}"] = {json.dumps(value)}' for name, value in asked.headers.items()]
            lua.write_text("\n".join(lines))
            script += ["-s", str(lua)]
        done = subprocess.run([*script, asked.url], capture_output=True, text=True, check=False)
    rate = re.search(r"Requests/sec: +([\d.]+)", done.stdout)
    if done.returncode or rate is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise Broken(f"wrk of {asked.url}: {done.stdout}{done.stderr}")
    quantiles = {q: float(v) * UNITS[u] for q, v, u in re.findall(r"(\d+)% +([\d.]+)(us|ms|s|m)", done.stdout)}
    return Load(float(rate[1]), quantiles["50"], quantiles["99"])


async def _python(asked: Asked, connections: int, seconds: float) -> Load:
    place = urlsplit(asked.url)
    headers = {"Host": place.netloc, "Content-Length": str(len(asked.body)), **asked.headers}
    lines = [f"{asked.method} {place.path or '/'} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    message = "\r\n".join([*lines, "", ""]).encode() + asked.body
    began, took = time.perf_counter(), list[float]()

    async def client() -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        while time.perf_counter() - began < seconds:
            sent = time.perf_counter()
            writer.write(message)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: *(\d+)", answer, re.IGNORECASE)
            if not answer.startswith(b"HTTP/1.1 200") or length is None:
                raise Broken(f"{asked.url} answered {answer[:200]!r}")
            await reader.readexactly(int(length[1]))
            took.append(1e3 * (time.perf_counter() - sent))
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    elapsed = time.perf_counter() - began
    return Load(len(took) / elapsed, statistics.median(took), sorted(took)[int(0.99 * len(took))])
