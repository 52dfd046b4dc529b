"""Several models behind one application: each by its name, each told apart in answers, cards and metrics."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.job import Output
from jobs.kinds.deploy import Deploy
from jobs.runtime.classifier import golden_rows
from jobs.serving.answering.app import App
from jobs.serving.answering.observing import Seen
from jobs.serving.plan import Plan
from tests.jobs.serving.conftest import app_of, ask, asked


class Watching:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []

    def seen(self, request: Seen) -> None:
        self.requests.append(request)

    def knows(self, version: str, model: Any) -> None:
        pass

    def forgets(self, version: str) -> None:
        pass

    def predicted(self, version: str, rows: Any, probabilities: Any) -> None:
        pass

    def batched(self, version: str, rows: int) -> None:
        pass

    async def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def watching() -> Watching:
    return Watching()


@pytest.fixture(scope="module")
def app(model: Folder, newer: Folder, watching: Watching) -> App:
    return app_of(asked(model), more={"second": asked(newer)}, observers=[watching])


def image(model: Folder) -> bytes:
    row = golden_rows(model.path)[0]
    assert isinstance(row, bytes)
    return row


@pytest.mark.training
def test_each_model_answers_by_its_name(app: App, model: Folder, newer: Folder, watching: Watching) -> None:
    row = image(model)
    answers = {}
    for name, folder in (("digits", model), ("second", newer)):
        said = ask(app, "POST", f"/v1/models/{name}/classify", row, "image/png").json
        version = asked(folder).version
        offline = app.models.named(name).versions[version].classifier.classify([row])
        assert said == {"model": name, "version": version, "predictions": offline}
        given = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(row) + 4}}
        head = json.dumps({"inputs": [given], "outputs": [{"name": "label"}]}).encode()
        headers = {"inference-header-content-length": str(len(head))}
        body = head + len(row).to_bytes(4, "little") + row
        inferred = ask(app, "POST", f"/v2/models/{name}/infer", body, headers=headers).json
        assert (inferred["model_name"], inferred["model_version"]) == (name, version)
        assert inferred["outputs"][0]["data"] == [offline[0]["label"]]
        assert ask(app, "GET", f"/v2/models/{name}/versions/{version}/ready").json == {"name": name, "ready": True}
        assert ask(app, "GET", f"/v2/models/{name}").json["versions"] == [version]
        assert ask(app, "GET", f"/v1/models/{name}").json["version"] == version
        answers[name] = offline[0]["probability"]
    assert answers["digits"] != answers["second"]
    (named,) = ask(app, "GET", "/openapi.json").json["paths"]["/v2/models/{name}/infer"]["post"]["parameters"]
    assert named["schema"] == {"enum": ["digits", "second"]}
    body = json.dumps({"image": base64.b64encode(row).decode()}).encode()
    assert ask(app, "POST", "/v1/classify", body, "application/json").json["model"] == "digits"
    told = [(one.model, one.path) for one in watching.requests]
    assert ("second", "/v2/models/{name}/infer") in told
    assert told[-1] == ("digits", "/v1/classify")


@pytest.mark.training
@pytest.mark.parametrize("name", ["third", "..", "%2e%2e", "second%00", "Second"])
def test_a_model_that_is_not_allowed_is_not_there(app: App, name: str) -> None:
    for path in (f"/v2/models/{name}/ready", f"/v1/models/{name}"):
        assert ask(app, "GET", path).status == 404
    assert ask(app, "POST", f"/v2/models/{name}/infer", b"{}").json == {"error": f"there is no model {name}"}


@pytest.mark.training
def test_a_model_is_replaced_and_withdrawn_while_the_others_answer(app: App, model: Folder, newer: Folder) -> None:
    models, plan = app.models, app.roster.plan
    try:
        changed = plan.model_copy(update={"more": {"second": asked(model)}})
        models.load(changed)
        assert list(models.named("second").versions) == [asked(newer).version, asked(model).version]
        models.follow(changed)
        assert list(models.named("second").versions) == [asked(model).version]
        models.follow(plan.model_copy(update={"more": {}}))
        assert ask(app, "GET", "/v2/models/second/ready").status == 404
        assert ask(app, "GET", "/v2/models/digits/ready").status == 200
    finally:
        models.load(plan)
        models.follow(plan)


def test_a_plan_of_several_travels_as_json(tmp_path: Any) -> None:
    asked = {"folder": str(tmp_path), "sha256": "0" * 64}
    plan = Plan.model_validate({"model": "own", "more": {"second": asked}})
    assert Plan.model_validate(plan.model_dump(mode="json")) == plan
    assert [one.weight for one in plan.of("second").versions] == [1.0]
    assert plan.of("second").proven == plan.more["second"].version


@pytest.mark.parametrize("also", [["small"], ["other", "other"], ["classifier"]])
def test_a_name_is_of_one_model_only(also: list[str]) -> None:
    job = Deploy.model_validate({"job": "deploy", "model": "small", "application": "classifier", "also": also})
    wrong = "names a model twice, the step of model, or one called as the application"
    assert list(job.problems({})) == [(("also",), wrong)]


def test_a_model_is_not_called_as_the_definition_whose_name_the_application_takes(tmp_path: Any) -> None:
    job = Deploy.model_validate({"job": "deploy", "model": "small", "also": ["teacher"]})
    place = Folder.parse(str(tmp_path))
    with pytest.raises(StepError, match="names 'teacher', as the application is called"):
        job.run({}, Output("live", place, place, lambda event: None, definition="teacher"))
