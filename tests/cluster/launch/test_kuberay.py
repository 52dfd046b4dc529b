"""KubeRay's manifests against a schema by hand of what the operator takes, and what ours rely on."""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cluster.environment import STOPPING
from jobs.serving.building import Arguments
from jobs.serving.controlling import BUILD, DEPLOYMENT
from jobs.serving.plan import Plan
from jobs.serving.writing import check
from tests.cluster.launch.kuberay import SCHEMAS

LAUNCH = Path(__file__).parents[3] / "cluster/launch"


def read(file: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((LAUNCH / file).read_text())
    return found


def cluster_of(manifest: dict[str, Any]) -> dict[str, Any]:
    spec = manifest["spec"]
    found: dict[str, Any] = spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec
    return found


def containers(cluster: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        (container,) = group["template"]["spec"]["containers"]
        yield group.get("groupName", "head"), container


@pytest.mark.parametrize("file", SCHEMAS)
def test_a_manifest_says_only_what_the_operator_knows(file: str) -> None:
    jsonschema.validate(read(file), SCHEMAS[file])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("autoscalerOptions", "version"), "v1"),
        (("authOptions", "mode"), "disabled"),
        (("workerGroupSpecs", 0, "minReplicas"), 1),
        (("workerGroupSpecs", 0, "rayStartParams", "num-cpus"), 4),
        (("headGroupSpec", "template", "spec", "containers", 0, "securityContext", "runAsNonRoot"), False),
        (("headGroupSpec", "replicas"), 1),
    ],
)
def test_the_schema_refuses_what_is_wrong(path: tuple[Any, ...], value: Any) -> None:
    manifest = copy.deepcopy(read("raycluster.yaml"))
    *way, last = path
    place = manifest["spec"]
    for name in way:
        place = place[name]
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, SCHEMAS["raycluster.yaml"])


@pytest.mark.parametrize("file", SCHEMAS)
def test_gpus_are_held_by_gpu_groups_alone(file: str) -> None:
    cluster = cluster_of(read(file))
    assert cluster["headGroupSpec"]["rayStartParams"]["num-gpus"] == "0" or file == "rayservice.yaml"
    labels = {group["groupName"]: group["labels"] for group in cluster["workerGroupSpecs"]}
    for name, container in containers(cluster):
        gpus = container["resources"]["limits"].get("nvidia.com/gpu", 0)
        assert bool(gpus) == ("ray.io/accelerator-type" in labels.get(name, {})), name
        assert container["image"].endswith("-gpu") == bool(gpus), name


def test_a_cluster_that_stays_survives_its_head() -> None:
    assert "gcsFaultToleranceOptions" in cluster_of(read("raycluster.yaml"))
    assert "gcsFaultToleranceOptions" in cluster_of(read("rayservice.yaml"))


def test_a_run_that_is_a_job_has_the_time_to_stop_that_a_submitted_one_has() -> None:
    environment = yaml.safe_load(read("rayjob.yaml")["spec"]["runtimeEnvYAML"])
    assert environment["env_vars"] == STOPPING
    readme = (LAUNCH.parent.parent / "README.md").read_text()
    (line,) = re.findall(r"`(ray job submit [^`]+)`", readme)
    words = shlex.split(line)
    assert json.loads(words[words.index("--runtime-env-json") + 1])["env_vars"] == STOPPING


def test_no_secret_lies_in_a_manifest() -> None:
    for file in SCHEMAS:
        for line in (LAUNCH / file).read_text().splitlines():
            assert not re.search(r"(password|token|key):\s*[\"']?[A-Za-z0-9]{12,}", line), line


def test_the_image_has_the_versions_of_the_constraints() -> None:
    constraints = (LAUNCH.parent.parent / "constraints.txt").read_text().splitlines()
    dockerfile = (LAUNCH / "Dockerfile").read_text()
    (version,) = re.findall(r"'ray\[[a-z,]+\](==[0-9.]+)'", dockerfile)
    assert f"ray{version}" in constraints
    assert {cluster_of(read(file))["rayVersion"] for file in SCHEMAS} == {version.removeprefix("==")}
    assert "USER 1000" in dockerfile
    for copied in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE):
        assert all((LAUNCH.parent.parent / name).exists() for name in copied.split())


def test_serve_takes_the_configuration_of_the_service() -> None:
    from ray.serve.schema import ServeDeploySchema

    written = yaml.safe_load(read("rayservice.yaml")["spec"]["serveConfigV2"])
    (application,) = ServeDeploySchema.model_validate(written).applications
    assert application.import_path == BUILD
    check(written)


def test_the_service_says_what_replicas_read_and_has_a_key() -> None:
    text = read("rayservice.yaml")["spec"]["serveConfigV2"]
    filled = yaml.safe_load(text.replace("sha256: CHANGE-ME", f"sha256: {'a' * 64}").replace("CHANGE-ME", "changed"))
    (application,) = filled["applications"]
    (deployment,) = application["deployments"]
    assert deployment["name"] == DEPLOYMENT
    plan = Plan.model_validate(deployment["user_config"])
    assert [asked.weight for asked in plan.versions] == [1.0]
    assert len(plan.keys) == 1
    Arguments.model_validate(application["args"])
