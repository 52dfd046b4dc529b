"""The head of a cluster whose autoscaler adds nodes on this machine: Ray's own, with its provider of fake nodes."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
NODE = f"{'f' * 51}00000"
PROVIDER = {
    "type": "external",
    "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
    "launch_multiple": True,
    "head_node_id": NODE,
}
LISTS = (  # that `ray up` would have filled in; without one the autoscaler ends, and the head with it
    "cluster_synced_files",
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
LONGEST = 60.0  # seconds the head may take to listen, and idle nodes to go


@dataclass(frozen=True)
class Head:
    """The head: its address, and the folder of its session's logs."""

    address: str
    temporary: Path

    def scaled(self) -> list[str]:
        """Return what the autoscaler did so far: `+2 gpu` or `-2 gpu`, in order."""
        log = next(self.temporary.glob("session_2*/logs/monitor.log"))
        found = re.findall(r"(Adding|Removing) (\d+) node(?:s|\(s\))? of type (\S+?)[. ]", log.read_text())
        return [f"{'+' if what == 'Adding' else '-'}{count} {kind}" for what, count, kind in found]

    def wait_until_gone(self) -> list[str]:
        """Wait until every node that was added was removed again; return what the autoscaler did."""
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            scaled = self.scaled()
            if sum(int(step.split()[0]) for step in scaled) == 0:
                return scaled
            time.sleep(0.5)
        raise AssertionError(f"nodes stay: {self.scaled()}")


def ports(count: int) -> list[int]:
    """Return free ports below those that Ray hands to its workers by default."""
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in sockets]


@contextmanager
def growing_from_one(
    root: Path, types: Mapping[str, Any], limit: Mapping[str, Any], idle_minutes: float = 5, cpus: int = 1
) -> Iterator[Head]:
    """Run the head, of `cpus`; nodes of `types` are added on this machine. Clients in this block have its token."""
    short = Path(tempfile.mkdtemp(prefix="ray-"))  # names of sockets have 107 characters at most
    gcs, client, dashboard, agent = ports(4)
    known = {name: {**kind, "node_config": {}, "min_workers": 0} for name, kind in types.items()}
    empty: dict[str, Any] = {"cluster_name": "toy", "auth": {}, "file_mounts": {}, "upscaling_speed": 1.0}
    empty |= {key: [] for key in LISTS} | {"idle_timeout_minutes": idle_minutes}
    provider = {**PROVIDER, "gcs_address": f"127.0.0.1:{gcs}"}
    file = root / "autoscaling.yaml"
    file.write_text(yaml.safe_dump({**limit, **empty, "available_node_types": known, "provider": provider}))
    options = {
        "num-cpus": cpus, "port": gcs, "node-ip-address": "127.0.0.1", "include-dashboard": "false",
        "ray-client-server-port": client, "dashboard-port": dashboard, "dashboard-agent-listen-port": agent,
        "min-worker-port": 0, "max-worker-port": 0, "temp-dir": short, "autoscaling-config": file,
    }  # fmt: skip
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    fake = {"RAY_FAKE_CLUSTER": "1", "RAY_CLOUD_INSTANCE_ID": NODE, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": NODE}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}
    given = {**os.environ, **fake, **token, "RAY_enable_autoscaler_v2": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    words = [*command, *(f"--{name}={value}" for name, value in options.items())]
    with (root / "log").open("w") as log, pytest.MonkeyPatch.context() as patch:
        head = subprocess.Popen(words, env=given, stdout=log, stderr=log)
        for name, value in token.items():
            patch.setenv(name, value)
        try:
            _wait_for(gcs, head, root / "log")
            yield Head(f"127.0.0.1:{gcs}", short)
        finally:
            head.terminate()
            head.wait(60)
            shutil.rmtree(short, ignore_errors=True)


def _wait_for(port: int, head: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + LONGEST
    while "Ray runtime started" not in log.read_text():
        assert head.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)
    socket.create_connection(("127.0.0.1", port), timeout=10).close()
