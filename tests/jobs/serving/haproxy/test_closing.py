"""The wrapper, on configurations that Ray Serve itself writes and HAProxy itself checks."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from jobs.serving.haproxy.closing import EDITS, Unknown, closed
from jobs.serving.haproxy.front import BINARY, haproxy


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """Return the file that Ray Serve writes for one application with two replicas and gRPC."""
    from ray.serve._private.common import RequestProtocol
    from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
    from ray.serve.config import HTTPOptions, gRPCOptions

    def backend(protocol: RequestProtocol) -> BackendConfig:
        servers = [ServerConfig(name=f"r{n}", host="127.0.0.1", port=20010 + n) for n in (1, 2)]
        name = protocol.value.lower()
        return BackendConfig(name=name, app_name="classifier", path_prefix="/", servers=servers, protocol=protocol)

    options = gRPCOptions(port=20009, grpc_servicer_functions=["grpc.health.v1.health_pb2_grpc.add_x"])
    node = tmp_path / "node"
    node.mkdir(mode=0o755)
    config = HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=20008),
        grpc_options=options,
        socket_path=str(node / "admin.sock"),
        server_state_base=str(node),
        server_state_file=str(node / "state"),
        stats_port=20006,
        metrics_port=20007,
    )
    api = HAProxyApi(config, config_file_path=str(node / "haproxy.cfg"))
    api.set_backend_configs({protocol.value: backend(protocol) for protocol in RequestProtocol if protocol.value})
    api._generate_config_file_internal()
    return node / "haproxy.cfg"


def wrapped(configuration: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the wrapper as Ray Serve does, only that HAProxy checks its configuration and ends."""
    with haproxy() as variables:
        command = [variables[BINARY], "-c", "-f", str(configuration), *more]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_ray_leaves_open_is_closed_and_haproxy_takes_it(configuration: Path) -> None:
    done = wrapped(configuration)
    assert done.returncode == 0, done
    lines = [line.strip() for line in configuration.read_text().splitlines()]
    assert [line for line in lines if line.startswith("bind ")] == [
        "bind 127.0.0.1:20007",
        "bind 127.0.0.1:20008",
        "bind 127.0.0.1:20009 proto h2",
        "bind 127.0.0.1:20006",
    ]
    assert [line for line in lines if line.startswith("stats socket")] == [
        f"stats socket {configuration.parent}/admin.sock mode 600 level admin expose-fd listeners"
    ]
    assert lines.count("http-request set-header x-request-disconnect-disabled ?1") == 1
    for line in ("timeout http-request 5s", "option http-buffer-request", "option dontlog-normal"):
        assert lines.count(line) == 1
    assert stat.S_IMODE(configuration.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("edit", EDITS, ids=[edit[0] for edit in EDITS])
def test_a_template_without_a_line_that_is_edited_is_refused(configuration: Path, edit: tuple[str, str, str]) -> None:
    section, _, _ = edit
    gone = {"global": "mode 666", "defaults": "abortonclose", "frontend prometheus": "bind :", "listen stats": "bind *"}
    gone["frontend http_frontend"] = "bind 127.0.0.1:20008"
    text = "\n".join(line for line in configuration.read_text().splitlines() if gone[section] not in line)
    with pytest.raises(Unknown, match=f"section '{section}' has 0 lines like"):
        closed(text)
    configuration.write_text(text)
    done = wrapped(configuration)
    assert done.returncode == 1
    assert done.stderr.startswith(f"HAProxy is not started: section '{section}' has 0 lines like")
    assert configuration.read_text() == text


def test_a_second_listener_is_not_left_open(configuration: Path) -> None:
    text = configuration.read_text().replace("listen stats\n", "listen stats\n  bind *:9\n")
    with pytest.raises(Unknown, match="section 'listen stats' has 2 lines like"):
        closed(text)


def test_one_that_is_started_again_has_the_routes_of_the_one_before(configuration: Path) -> None:
    routed = configuration.read_text()
    bare = "".join(line for line in routed.splitlines(keepends=True) if "use_backend" not in line)
    assert wrapped(configuration).returncode == 0
    configuration.write_text(bare)
    assert wrapped(configuration).returncode == 0
    assert configuration.read_text() == closed(routed)
    configuration.write_text(bare)
    assert wrapped(configuration, "-sf", "1").returncode == 0  # a reload: the routes are gone for good
    assert configuration.read_text() == closed(bare)
    configuration.write_text(routed.replace(":20008", ":20005"))
    assert wrapped(configuration).returncode == 0
    assert configuration.read_text() == closed(routed.replace(":20008", ":20005"))


def test_clusters_share_neither_files_nor_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    with haproxy() as one:
        for name in one:  # as in a process that another cluster started
            monkeypatch.setenv(name, "1")
    with haproxy() as other:
        own = [name for name in one if name.endswith(("PATH", "LOC", "BASE", "FILE", "PORT"))]
        assert len(own) == 14
        assert all(other[name] != "1" for name in own)
        folder = Path(other[BINARY]).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        monkeypatch.setenv("RAY_SERVE_HAPROXY_RETRIES", "3")
        with haproxy() as third:
            assert third["RAY_SERVE_HAPROXY_RETRIES"] == "3"
    assert not folder.exists()


def test_without_haproxy_nothing_is_set_and_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.serving.haproxy.front import proxy_in_use

    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "0")
    with haproxy() as variables:
        assert variables == {}
    why = "RAY_SERVE_ENABLE_HA_PROXY is 0"
    assert proxy_in_use() == f"Ray Serve's own proxy, which takes a tenth of the requests HAProxy does: {why}"
    monkeypatch.delenv("RAY_SERVE_ENABLE_HA_PROXY")
    assert proxy_in_use().endswith("this cluster was started without RAY_SERVE_ENABLE_HA_PROXY=1")
