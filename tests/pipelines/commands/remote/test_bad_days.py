from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.head import Head, head_node
from tests.pipelines.commands.conftest import Espalier

Toys = Callable[..., Path]
ROOT = Path(__file__).parents[4]


class Older(http.server.BaseHTTPRequestHandler):
    """Answers as the dashboard of an older Ray."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"version": "4", "ray_version": "2.9.3"}).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        return None


@pytest.fixture
def older() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Older)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def test_nobody_answers(espalier: Espalier, toys: Toys) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    said = espalier("submit", toys(a={}), "--address", url)
    assert said.code == 4
    assert said.err == (
        f"error: cluster {url}: does not answer (Connection refused); check --address: it is the dashboard's, by "
        "default port 8265 of the head node, which may need a tunnel\n"
    )


def test_another_ray(espalier: Espalier, toys: Toys, older: str) -> None:
    said = espalier("submit", toys(a={}), "--address", older)
    here = version("ray")
    assert (said.code, said.out) == (4, "")
    assert said.err == (
        f"error: cluster {older}: runs Ray 2.9.3, wanted {here}, as here; install ray==2.9.3 here, or start the "
        f"cluster with ray=={here}\n"
    )


def test_no_address(espalier: Espalier, toys: Toys) -> None:
    said = espalier("submit", toys(a={}))
    assert said.code == 2
    assert said.err == ("error: --address: is missing, wanted the cluster's dashboard; e.g. http://127.0.0.1:8265\n")


def test_who_named_the_address_is_told(
    espalier: Espalier, toys: Toys, older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", older)
    first, _ = espalier("submit", toys(a={})).err.splitlines()
    assert first == f"the cluster is the one that RAY_ADDRESS names: {older}"
    assert len(espalier("submit", toys(a={}), "--address", older).err.splitlines()) == 1
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert "RAY_ADDRESS=auto, which" in espalier("submit", toys(a={}), "--address", older).err
    monkeypatch.setenv("RAY_ADDRESS", "elsewhere:6379")
    first, _ = espalier("submit", toys(a={}), "--address", older).err.splitlines()
    assert first == (
        f"--address {older} is used; RAY_ADDRESS=elsewhere:6379, which `ray job submit` would follow, is not"
    )


def test_a_definition_outside_the_working_folder(espalier: Espalier, toys: Toys, older: str, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    said = espalier("submit", toys(a={}), "--address", older, "--working-dir", "below")
    assert said.code == 2
    assert said.err == (
        f"error: toys.yaml: lies outside the working folder, wanted one below {tmp_path}/below; name it with "
        "--working-dir\n"
    )


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("token", "text"),
    [
        (
            "",
            "asks for a token, and there is none here, wanted the token of the cluster; copy it from the head node to "
            "~/.ray/auth_token (mode 0600), or set RAY_AUTH_TOKEN_PATH",
        ),
        (
            "wrong",
            "refuses our token, wanted the token of the cluster; compare RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or "
            "~/.ray/auth_token with the head node's",
        ),
    ],
)
def test_no_token_or_a_wrong_one(
    head: Head, espalier: Espalier, toys: Toys, monkeypatch: pytest.MonkeyPatch, token: str, text: str
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    said = espalier("submit", toys(a={}), "--address", head.url)
    assert (said.code, said.err) == (4, f"error: cluster {head.url}: {text}\n")


@pytest.mark.cluster
def test_rays_own_port_is_no_dashboard(head: Head, espalier: Espalier, toys: Toys) -> None:
    said = espalier("submit", toys(a={}), "--address", head.address)
    assert said.code == 4
    assert said.err.startswith(f"error: cluster http://{head.address}: does not answer (")


@pytest.mark.cluster
def test_an_unknown_job(head: Head, espalier: Espalier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(head.token))
    for command in ("status", "logs", "cancel"):
        said = espalier("jobs", command, "toys-none-1", "--address", head.url)
        assert said.code == 2
        assert said.err.startswith(f"error: job toys-none-1: is not known to {head.url}")


@pytest.mark.slow
@pytest.mark.cluster
def test_a_run_with_a_wrong_token_ends_soon(head: Head, tmp_path: Path, toys: Toys) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_TOKEN": "0" * 64}
    command = [sys.executable, "-m", "tests.pipelines.offline", "--cluster", "run", str(toys(a={}))]
    done = subprocess.run(
        [*command, "--address", head.address],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 4
    assert f"error: cluster {head.address}: " in done.stderr
    assert "token" in done.stderr


@pytest.mark.slow
@pytest.mark.cluster
def test_a_run_on_a_cluster_of_another_python_ends_soon(tmp_path: Path, toys: Toys) -> None:
    with head_node() as head:
        change = f"""
import json, ray
from ray._private import ray_constants
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put
ray.init(address={head.address!r})
found = json.loads(_internal_kv_get(b"CLUSTER_METADATA", namespace=b"cluster"))
found["python_version"] = "3.9.1"
_internal_kv_put(b"CLUSTER_METADATA", json.dumps(found).encode(), overwrite=True, namespace=b"cluster")
"""
        environment = {**head.environment, "PYTHONPATH": str(ROOT)}
        options = {"env": environment, "cwd": tmp_path, "capture_output": True, "text": True, "timeout": 100}
        subprocess.run([sys.executable, "-c", change], check=True, **options)  # type: ignore[call-overload]
        command = [sys.executable, "-m", "tests.pipelines.offline", "--cluster", "run", str(toys(a={}))]
        done = subprocess.run([*command, "--address", head.address], check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 4
    assert f"error: cluster {head.address}: Version mismatch: The cluster was started with: Ray: " in done.stderr
    assert "Python: 3.9.1" in done.stderr
    assert "or let it run the driver: espalier submit" in done.stderr
