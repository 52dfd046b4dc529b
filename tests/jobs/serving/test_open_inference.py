"""The Open Inference Protocol over HTTP, spoken by tritonclient, and the OpenAPI document, tried by schemathesis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import schemathesis
import tritonclient.http as triton
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.serving.answering.app import App
from tests.jobs.serving.conftest import app_of, ask, asked, listening

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def app(model: Folder) -> App:
    return app_of(asked(model))


@pytest.fixture(scope="module")
def address(app: App) -> Iterator[str]:
    with listening(app) as place:
        yield place


def inputs_of(array: np.ndarray, kind: str, binary: bool) -> list[triton.InferInput]:
    made = triton.InferInput("image", list(array.shape), kind)
    made.set_data_from_numpy(array, binary_data=binary)
    return [made]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("compressed", [None, "gzip", "deflate"])
def test_tritonclient_gets_what_the_file_answers(
    address: str, model: Folder, binary: bool, compressed: str | None
) -> None:
    classifier = Classifier(Model.load(model), model.path)
    rows = [row for row in golden_rows(model.path) if isinstance(row, bytes)]
    pixels = classifier.prepared([*rows])
    wanted = classifier.runner.probabilities(pixels, classifier.model.temperature)
    client = triton.InferenceServerClient(address)
    found = client.infer("digits", inputs_of(pixels, "UINT8", binary), request_compression_algorithm=compressed)
    assert found.as_numpy("probabilities").tobytes() == wanted.tobytes()
    outputs = [triton.InferRequestedOutput("label", binary_data=binary)]
    images = np.array(rows, np.object_)
    version = asked(model).version
    found = client.infer("digits", inputs_of(images, "BYTES", True), version, outputs=outputs, request_id="seven")
    labels = [one["label"] for one in classifier.classify([*rows])]
    assert [one if isinstance(one, str) else one.decode() for one in found.as_numpy("label").tolist()] == labels
    assert found.as_numpy("probabilities") is None
    assert (found.get_response()["id"], found.get_response()["model_version"]) == ("seven", version)
    client.close()


def test_tritonclient_finds_the_server_and_the_model(address: str, model: Folder) -> None:
    version = asked(model).version
    client = triton.InferenceServerClient(address)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", version)
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert client.get_model_metadata("digits") == {
        "name": "digits",
        "versions": [version],
        "platform": "litert",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 8, 8, 1]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
        ],
    }
    with pytest.raises(InferenceServerException, match="input image is UINT8"):
        client.infer("digits", inputs_of(np.zeros((1, 9, 8, 1), np.uint8), "UINT8", True))
    client.close()


TENSOR = {"name": "image", "datatype": "UINT8", "shape": [1, 8, 8, 1]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data": [256] * 64}, "input image has values that are no UINT8"),
        ({"data": [0.5] * 64}, "input image has values that are no UINT8"),
        ({"data": ["a"] * 64}, "input image has values that are no UINT8"),
        ({"data": [1] * 63}, "input image is not 64 numbers of that shape"),
        ({"data": [[1] * 8, [1]]}, "input image is not 64 numbers of that shape"),
        ({"data": None}, "input image is not 64 numbers of that shape"),
        ({"shape": [-1, 8, 8, 1], "data": []}, "input image has no shape"),
        ({"shape": [2**40], "data": []}, "input image has no shape"),
        ({"shape": [65, 8, 8, 1], "data": [0] * 4160}, "the inputs have [65] rows, wanted as many each, from 1 to 64"),
        ({"datatype": "FP8", "data": []}, "input image has the unknown datatype FP8"),
        ({"name": "other", "data": [1] * 64}, "the inputs are other, wanted image"),
        ({"parameters": {"binary_data_size": 9}}, "input image has a binary_data_size that is not in the body"),
        ({}, "input image has no data"),
    ],
)
def test_a_tensor_that_is_wrong_is_told_what_is(app: App, change: dict[str, Any], reason: str) -> None:
    body = json.dumps({"inputs": [{**TENSOR, **change}]}).encode()
    answer = ask(app, "POST", "/v2/models/digits/infer", body, "application/json")
    assert (answer.status, answer.json) == (400, {"error": reason})


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=300), header=st.sampled_from(["", "0", "5", "999", "x"]))
def test_bytes_of_any_kind_are_refused_and_never_a_failure(app: App, body: bytes, header: str) -> None:
    headers = {"inference-header-content-length": header} if header else {}
    for kind in ("application/json", "image/png"):
        for path in ("/v1/classify", "/v2/models/digits/infer"):
            answer = ask(app, "POST", path, body, kind, headers=headers)
            assert 400 <= answer.status < 500


BOUNDED = settings(
    max_examples=15, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


def test_requests_made_from_the_openapi_document_are_never_a_failure(address: str) -> None:
    schema = schemathesis.openapi.from_url(f"http://{address}/openapi.json")
    statuses: set[int] = set()
    operations: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) == 14
    for operation in operations:

        @BOUNDED
        @given(case=operation.as_strategy())
        def tried(case: Any) -> None:
            response = case.call()
            statuses.add(response.status_code)
            case.validate_response(
                response,
                checks=[
                    schemathesis.checks.not_a_server_error,
                    schemathesis.checks.status_code_conformance,
                    schemathesis.checks.content_type_conformance,
                    schemathesis.checks.response_schema_conformance,
                ],
            )

        tried()
    assert {200, 422} <= statuses
