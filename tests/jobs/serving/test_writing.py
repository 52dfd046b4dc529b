"""The Serve configuration as a file: what it says, that Serve takes it, and that nothing in it is lost on Serve."""

from __future__ import annotations

import pytest
import yaml

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.serving.application import Place
from jobs.serving.keys import new_key
from jobs.serving.plan import Plan
from jobs.serving.writing import check, serve_file
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
