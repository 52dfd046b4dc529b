"""An autoscaler on this machine, its cluster of one CPU, and what a run may ask of it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.cluster.test_resources import LIMIT, TYPES

ROOT = Path(__file__).parent.parent.parent
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
LONGEST = 60.0  # seconds the head may take to listen


def ports(count: int) -> list[int]:
    """Return free ports below those that Ray hands to its workers by default."""
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in sockets]


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the head of a cluster whose autoscaler may add nodes; yield its address."""
    root = tmp_path_factory.mktemp("growing")
    short = Path(tempfile.mkdtemp(prefix="ray-"))  # names of sockets have 107 characters at most
    types = {name: {**kind, "node_config": {}, "min_workers": 0} for name, kind in TYPES.items()}
    empty = {"cluster_name": "toy", "auth": {}, "file_mounts": {}, "idle_timeout_minutes": 5, "upscaling_speed": 1.0}
    empty |= {key: [] for key in LISTS}
    file = root / "autoscaling.yaml"
    file.write_text(yaml.safe_dump({**LIMIT, **empty, "available_node_types": types, "provider": PROVIDER}))
    gcs, client, dashboard, agent = ports(4)
    options = {
        "num-cpus": 1, "port": gcs, "node-ip-address": "127.0.0.1", "include-dashboard": "false",
        "ray-client-server-port": client, "dashboard-port": dashboard, "dashboard-agent-listen-port": agent,
        "min-worker-port": 0, "max-worker-port": 0, "temp-dir": short, "autoscaling-config": file,
    }  # fmt: skip
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    fake = {"RAY_FAKE_CLUSTER": "1", "RAY_CLOUD_INSTANCE_ID": NODE, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": NODE}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}
    given = {**os.environ, **fake, **token, "RAY_enable_autoscaler_v2": "1"}
    words = [*command, *(f"--{name}={value}" for name, value in options.items())]
    with (root / "log").open("w") as log, pytest.MonkeyPatch.context() as patch:
        head = subprocess.Popen(words, env=given, stdout=log, stderr=log)
        for name, value in token.items():
            patch.setenv(name, value)
        try:
            wait_for(gcs, head, root / "log")
            yield f"127.0.0.1:{gcs}"
        finally:
            head.terminate()
            head.wait(60)
            shutil.rmtree(short, ignore_errors=True)


def wait_for(port: int, head: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + LONGEST
    while "Ray runtime started" not in log.read_text():
        assert head.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)
    socket.create_connection(("127.0.0.1", port), timeout=10).close()


DEFINITION = """
name: toy
steps:
  data: {job: dataset, source: {kind: digits}}
  model:
    job: train
    data: data
    model: {backbone: {kind: resnet, depth: 8}}
    batch_size: 60
    strategy: {kind: data_parallel, workers: WORKERS, cpus_per_worker: CPUS}
"""


def espalier(command: str, growing: str, root: Path, workers: int, cpus: int) -> subprocess.CompletedProcess[str]:
    """Run a command on the definition with these workers, in a process of its own."""
    file = root / "toy.yaml"
    file.write_text(DEFINITION.replace("WORKERS", str(workers)).replace("CPUS", str(cpus)))
    words = [sys.executable, "-m", "pipelines", command, str(file), "--store", str(root / "runs"), "--address", growing]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.cluster
def test_what_the_autoscaler_may_add_counts(growing: str, tmp_path: Path) -> None:
    """The head has one CPU; three nodes at most may be added, of them two with four CPUs and one with two."""
    fits = espalier("plan", growing, tmp_path, workers=2, cpus=4)
    assert fits.returncode == 0, fits.stderr
    assert "can hold 11 CPU, 2 GPU" in fits.stdout


@pytest.mark.cluster
def test_what_it_may_never_add_is_refused_before_anything_starts(growing: str, tmp_path: Path) -> None:
    refused = espalier("run", growing, tmp_path, workers=3, cpus=4)
    asked = "step 'model' needs 12 CPU, the cluster can hold 11 CPU, 2 GPU"
    assert refused.stderr.splitlines()[-1] == f"error: {asked}; ask for less, or use a larger cluster"
    assert refused.returncode == 4
    assert not list(tmp_path.glob("runs/*/*"))
