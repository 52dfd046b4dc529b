"""The Serve configuration as a file: what it says, that Serve takes it, and that nothing in it is lost on Serve."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.serving.application import Place
from jobs.serving.keys import new_key
from jobs.serving.limits import Limits
from jobs.serving.plan import Plan
from jobs.serving.writing import check, missing, serve_file
from pipelines.__main__ import main
from pipelines.load import load
from pipelines.plan import plan
from pipelines.store import Store
from tests.jobs.serving.conftest import asked

pytestmark = pytest.mark.training


def test_the_file_names_the_model_its_checksums_and_hashes_of_keys(model: Folder) -> None:
    secret, kept = new_key("shop")
    place = Place(application="digits", host="10.0.0.1", port=8000, replicas=2, cpus=0.5, grpc_port=8001, keys=[kept])
    text = serve_file(model, Model.load(model), place)
    assert secret not in text
    written = yaml.safe_load(text)
    check(written)
    assert written["http_options"] == {"host": "10.0.0.1", "port": 8000}
    (application,) = written["applications"]
    assert application["args"] == {"model": "digits", "host": "10.0.0.1", "grpc_port": 8001}
    (deployment,) = application["deployments"]
    assert (deployment["num_replicas"], deployment["ray_actor_options"]) == (2, {"num_cpus": 0.5})
    plan = Plan.model_validate(deployment["user_config"])
    assert plan.serving() == asked(model)
    assert plan.keys == [kept]


def test_a_key_that_serve_does_not_know_is_refused(model: Folder) -> None:
    place = Place(application="digits", host="127.0.0.1", port=8000, replicas=1, cpus=1.0)
    written = yaml.safe_load(serve_file(model, Model.load(model), place))
    written["applications"][0]["deployments"][0]["replicas"] = 3
    with pytest.raises(RequestError) as caught:
        check(written)
    assert str(caught.value).endswith("has applications[0].deployments[0].replicas, which Serve does not know")


DEFINITION = """
name: shop
params: {cpus: {type: float, default: 2.0}}
steps:
  data: {job: dataset, source: {kind: digits}}
  first: {job: train, data: data, model: {backbone: {kind: resnet, depth: 8, width: 4}}, epochs: 1, batch_size: 64}
  second: {job: train, data: data, model: {backbone: {kind: resnet, depth: 8, width: 8}}, epochs: 1, batch_size: 64}
  live:
    job: deploy
    model: first
    also: [second]
    reject_below: 0.6
    route: /shop
    labels: {example.org/zone: eu-1}
    limits: {items: 3, text_characters: 70}
    scale: {least: 0, most: 4, ongoing: 2.0}
    cpus_per_replica: ${params.cpus}
"""


def made(folder: Folder, definition: Path, step: str) -> None:
    """Have `folder` be what a step of the definition made, in the store beside it."""
    planned = plan(load(definition), Store(Folder.parse(str(definition.parent / "runs"))))[step]
    attempt = planned.place.begin()
    shutil.copytree(folder.path, attempt.folder.path, dirs_exist_ok=True)
    attempt.finish("Model", planned.identity)
    planned.place.lease.release()


def espalier(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_step_of_a_definition_is_written_as_it_says(
    model: Folder, newer: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    definition, file = tmp_path / "shop.yaml", tmp_path / "serve.yaml"
    definition.write_text(DEFINITION)
    asking = ("deploy", "--definition", definition, "--write", file)
    made(model, definition, "first")
    assert espalier(*asking) == 2
    assert f"step 'second': is not made (never run); espalier run {definition}" in capsys.readouterr().err
    made(newer, definition, "second")
    assert espalier(*asking, "--step", "live", "--set", "cpus=3.5") == 0
    written = yaml.safe_load(file.read_text())
    read = ServeDeploySchema.model_validate(written).model_dump(mode="json", exclude_unset=True)
    assert list(missing(written, read)) == []
    (application,) = read["applications"]
    (deployment,) = application["deployments"]
    assert (application["name"], application["route_prefix"]) == ("shop", "/shop")
    assert deployment["ray_actor_options"] == {"num_cpus": 3.5, "label_selector": {"example.org/zone": "eu-1"}}
    scale = deployment["autoscaling_config"]
    assert [scale[name] for name in ("min_replicas", "max_replicas", "target_ongoing_requests")] == [0, 4, 2.0]
    told = Plan.model_validate(deployment["user_config"])
    assert (told.limits, told.threads) == (Limits(items=3, text_characters=70), 3)
    serving = told.serving()
    assert serving is not None
    assert serving.version == asked(model).model_copy(update={"reject_below": 0.6}).version
    assert {name: one.version for name, one in told.more.items()} == {"second": asked(newer).version}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "espalier deploy: takes either, wanted MODEL, or --definition and its --step"),
        (["{model}", "--definition", "a.yaml"], "espalier deploy: takes either, wanted MODEL, or --definition"),
        (["{model}", "--step", "live"], "--step: says nothing without --definition"),
        (["--definition", "a.yaml", "--cpus", "2"], "--cpus: says nothing beside --definition: set it in its step"),
        (["--definition", "a.yaml", "--step", "first"], "a.yaml: has no deploy step 'first' (known: live)"),
        (["{model}", "--label", "zone"], "--label zone: is no label, wanted NAME=VALUE, such as market=spot"),
        (["{model}", "--label", "zone=eu 1"], "--label zone=eu 1: is no label, wanted NAME=VALUE, such as market=spot"),
    ],
)
def test_what_would_be_written_otherwise_than_asked_for_is_refused(
    model: Folder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(DEFINITION)
    assert espalier("deploy", "--write", "out.yaml", *(one.format(model=model.path) for one in given)) == 2
    assert said in capsys.readouterr().err
    assert not Path("out.yaml").exists()


def test_labels_and_threads_are_those_of_the_command_line(model: Folder, tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    assert espalier("deploy", model.path, "--write", file, "--cpus", "4", "--label", "market=spot") == 0
    (application,) = yaml.safe_load(file.read_text())["applications"]
    (deployment,) = application["deployments"]
    assert deployment["ray_actor_options"] == {"num_cpus": 4.0, "label_selector": {"market": "spot"}}
    assert Plan.model_validate(deployment["user_config"]).threads == 4
