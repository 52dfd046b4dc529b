"""The files of `ray up`, checked by Ray offline; and that they say what ours rely on."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.growth import grown
from cluster.resources import Nodes, Resources

LAUNCH = Path(__file__).parents[3] / "cluster/launch"
CLOUDS = ("aws.yaml", "gcp.yaml")
FILES = (*CLOUDS, "on-premise.yaml")
CONSTRAINTS = (LAUNCH.parent.parent / "constraints.txt").read_text().splitlines()


def prepared(file: str) -> dict[str, Any]:
    """Return the file as `ray up` would use it, its defaults filled in; raises where Ray would refuse it."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config: dict[str, Any] = prepare_config(yaml.safe_load((LAUNCH / file).read_text()))
    validate_config(config)
    return config


def commands(config: dict[str, Any]) -> list[str]:
    named = [config[name] for name in config if name.endswith("_commands")]
    of_types = [kind.get("worker_setup_commands", []) for kind in config["available_node_types"].values()]
    return [command for group in named + of_types for command in group]


@pytest.mark.parametrize("file", FILES)
def test_ray_takes_the_file_and_installs_no_version_but_ours(file: str) -> None:
    config = prepared(file)
    setup = (LAUNCH / "setup.sh").read_text()
    ours = [command for command in commands(config) if "setup.sh" in command]
    assert ours, "without setup commands Ray installs a nightly version"
    assert not [command for command in commands(config) if "ray-wheels" in command or "conda" in command]
    for pinned in re.findall(r"'(ray|tensorflow)\[[a-z,-]+\](==[0-9.]+)'", setup):
        assert "".join(pinned) in CONSTRAINTS
    assert "tensorflow[and-cuda]==" in setup


@pytest.mark.parametrize("file", FILES)
def test_the_dashboard_is_on_loopback_and_a_token_closes_the_ports(file: str) -> None:
    config = prepared(file)
    starts = [c for name in ("head", "worker") for c in config[f"{name}_start_ray_commands"] if "ray start" in c]
    assert len(starts) == 2
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert all(start.startswith(". ~/espalier.env;") for start in starts)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "RAY_AUTH_MODE=token RAY_enable_autoscaler_v2=1" in (LAUNCH / "setup.sh").read_text()
    for remote, here in config["file_mounts"].items():
        assert not remote.startswith("~/espalier/") or (LAUNCH.parent.parent / here).exists(), here


@pytest.mark.parametrize("file", CLOUDS)
def test_a_cloud_has_a_head_without_gpus_and_groups_that_begin_empty(file: str) -> None:
    types = prepared(file)["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    workers = {name: kind for name, kind in types.items() if name != "head"}
    assert {kind["min_workers"] for kind in workers.values()} == {0}
    gpus = {name: kind for name, kind in workers.items() if "GPU" in kind["resources"]}
    accelerators = {kind["labels"]["ray.io/accelerator-type"] for kind in gpus.values()}
    for accelerator in accelerators:
        markets = [
            k["labels"]["market"] for k in gpus.values() if k["labels"]["ray.io/accelerator-type"] == accelerator
        ]
        assert sorted(markets) == ["on-demand", "spot"]
    assert len(accelerators) >= 3
    assert all(kind["worker_setup_commands"][0].endswith("/runs gpu") for kind in gpus.values())
    assert "GPU" not in workers["cpu"]["resources"]


@pytest.mark.parametrize("file", CLOUDS)
def test_spot_nodes_are_asked_for_as_such(file: str) -> None:
    for name, kind in prepared(file)["available_node_types"].items():
        node = kind["node_config"]
        market = node.get("InstanceMarketOptions", {}).get("MarketType", "")
        asked = market == "spot" or node.get("scheduling", {}).get("provisioningModel") == "SPOT"
        assert asked == name.endswith("-spot")


@pytest.mark.parametrize("file", CLOUDS)
def test_a_gang_fits_what_the_file_may_start(file: str) -> None:
    config = prepared(file)
    head = [Nodes(Resources(), 1)]
    capacity = grown(head, head, config)
    assert not capacity.refuses([Resources(4, 1)] * 16)
    assert capacity.refuses([Resources(97)])


def test_ray_refuses_a_file_with_a_field_it_does_not_know() -> None:
    from ray.autoscaler._private.util import validate_config

    config = copy.deepcopy(prepared("aws.yaml"))
    config["available_node_types"]["t4"]["gpus"] = 1
    with pytest.raises(Exception, match="'gpus' was unexpected"):
        validate_config(config)


def test_setup_makes_a_node_ready(tmp_path: Path) -> None:
    """With a stand-in for pip: what it would install, the token's mode, and what Ray would be started with."""
    python = tmp_path / "venv/bin/python"
    token = tmp_path / ".ray/auth_token"
    for made in (python, token):
        made.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/installed\n')
    python.chmod(0o755)
    token.write_text("secret")
    token.chmod(0o644)
    setup = ["sh", str(LAUNCH / "setup.sh"), "s3://bucket/runs", "gpu"]
    subprocess.run(setup, check=True, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    first, second = (tmp_path / "installed").read_text().splitlines()
    assert "ray[default,data,train,tune,serve]==2.60.0" in first
    assert first.endswith(f"{tmp_path}/espalier")
    assert second.endswith("tensorflow[and-cuda]==2.21.0")
    assert f"--constraint {tmp_path}/espalier/constraints.txt" in first
    assert token.stat().st_mode & 0o777 == 0o600
    told = subprocess.run(
        ["sh", "-c", ". ~/espalier.env; echo $RAY_AUTH_MODE $RAY_enable_autoscaler_v2 $ESPALIER_STORE $PATH"],
        capture_output=True, text=True, check=True, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert told.stdout == f"token 1 s3://bucket/runs {tmp_path}/venv/bin:/usr/bin:/bin\n"


def test_an_installed_package_has_the_files(tmp_path: Path) -> None:
    words = ["egg_info", "--egg-base", str(tmp_path), "build_py", "--build-lib", str(tmp_path / "lib")]
    build = [sys.executable, "-c", "from setuptools import setup; setup()", "--quiet", *words]
    subprocess.run(build, cwd=LAUNCH.parent.parent, check=True, capture_output=True)
    there = {file.name for file in LAUNCH.iterdir() if file.is_file()}
    assert {file.name for file in (tmp_path / "lib/cluster/launch").iterdir()} == there
