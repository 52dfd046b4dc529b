"""The Open Inference Protocol over gRPC, spoken by tritonclient, which knows nothing of us."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.serving.keys import HashedKey, hashed
from jobs.serving.limits import Limits
from jobs.serving.rpc.protocol import SERVICE
from tests.jobs.serving.conftest import app_of, asked, free_port
from tests.jobs.serving.test_guard import grown

pytestmark = pytest.mark.training
SECRET = "a secret of more than 24 characters"
RIGHT = {"authorization": f"Bearer {SECRET}"}


def listening(model: Folder, limits: Limits, keys: list[HashedKey]) -> Iterator[str]:
    from jobs.serving.rpc.service import listen

    port, loop = free_port(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    app = app_of(asked(model), limits=limits, keys=keys)
    server = asyncio.run_coroutine_threadsafe(listen(app, "127.0.0.1", port), loop).result(30)
    yield f"127.0.0.1:{port}"
    asyncio.run_coroutine_threadsafe(server.stop(1), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


@pytest.fixture(scope="module")
def address(model: Folder) -> Iterator[str]:
    yield from listening(model, Limits(), [])


@pytest.fixture(scope="module")
def locked(model: Folder) -> Iterator[str]:
    limits = Limits(body_bytes=100_000, seconds=1.0)
    yield from listening(model, limits, [HashedKey(name="tests", sha256=hashed(SECRET))])


def inputs_of(array: np.ndarray, kind: str) -> list[triton.InferInput]:
    given = triton.InferInput("image", list(array.shape), kind)
    given.set_data_from_numpy(array)
    return [given]


def test_tritonclient_gets_what_the_file_answers(address: str, model: Folder) -> None:
    client = triton.InferenceServerClient(address)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    version = asked(model).version
    assert client.is_model_ready("digits", version)
    assert client.get_server_metadata().name == "espalier"
    metadata = client.get_model_metadata("digits")
    assert list(metadata.versions) == [version]
    assert [(one.name, one.datatype, list(one.shape)) for one in metadata.inputs] == [("image", "UINT8", [-1, 8, 8, 1])]
    rows = [row for row in golden_rows(model.path) if isinstance(row, bytes)]
    classifier = Classifier(Model.load(model), model.path)
    found = client.infer("digits", inputs_of(np.array(rows, np.object_), "BYTES"), request_id="seven")
    wanted = classifier.runner.probabilities(classifier.prepared([*rows]), classifier.model.temperature)
    assert found.as_numpy("probabilities").tobytes() == wanted.tobytes()
    labels = [one["label"].encode() for one in classifier.classify([*rows])]
    assert found.as_numpy("label").tolist() == labels
    assert (found.get_response().id, found.get_response().model_version) == ("seven", version)
    pixels = classifier.prepared([*rows])
    found = client.infer("digits", inputs_of(pixels, "UINT8"), model_version=version)
    assert found.as_numpy("probabilities").tobytes() == wanted.tobytes()


def refused(address: str, model: str, inputs: list[triton.InferInput], **options: object) -> tuple[str, str]:
    with pytest.raises(InferenceServerException) as caught:
        triton.InferenceServerClient(address).infer(model, inputs, **options)
    return str(caught.value.status()), str(caught.value.message())


def test_what_is_wrong_has_a_status_and_a_reason(address: str) -> None:
    pixels = np.zeros((1, 8, 8, 1), np.uint8)
    assert refused(address, "other", inputs_of(pixels, "UINT8")) == ("StatusCode.NOT_FOUND", "there is no model other")
    found = refused(address, "digits", inputs_of(pixels, "UINT8"), model_version="0" * 12)
    assert found == ("StatusCode.NOT_FOUND", "there is no version 000000000000")
    status, reason = refused(address, "digits", inputs_of(np.zeros((1, 9, 8, 1), np.uint8), "UINT8"))
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert reason == "input image is UINT8 [1, 9, 8, 1], wanted UINT8 [-1, 8, 8, 1] or BYTES [-1]"
    broken = np.array([b"not an image"], np.object_)
    found = refused(address, "digits", inputs_of(broken, "BYTES"))
    assert found == ("StatusCode.INVALID_ARGUMENT", "row 0 is not a JPEG, PNG, BMP, WebP or GIF image")


def test_a_call_without_a_key_is_refused(locked: str) -> None:
    pixels = inputs_of(np.zeros((1, 8, 8, 1), np.uint8), "UINT8")
    client = triton.InferenceServerClient(locked)
    assert client.is_server_live()
    assert refused(locked, "digits", pixels)[0] == "StatusCode.UNAUTHENTICATED"
    wrong = {"authorization": f"Bearer {SECRET}x"}
    assert refused(locked, "digits", pixels, headers=wrong) == ("StatusCode.UNAUTHENTICATED", "the key is not known")
    assert client.infer("digits", pixels, headers=RIGHT).as_numpy("probabilities").shape == (1, 10)


def test_a_message_over_the_cap_is_not_read(locked: str) -> None:
    large = inputs_of(np.zeros((4000, 8, 8, 1), np.uint8), "UINT8")
    status, reason = refused(locked, "digits", large, headers=RIGHT)
    assert status == "StatusCode.RESOURCE_EXHAUSTED"
    assert "larger than max" in reason
    assert refused(locked, "digits", large)[0] == "StatusCode.UNAUTHENTICATED"


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
def test_a_compressed_message_is_read_and_does_not_grow_over_the_cap(locked: str, kind: str) -> None:
    one = inputs_of(np.zeros((1, 8, 8, 1), np.uint8), "UINT8")
    bomb = inputs_of(np.zeros((1_000_000, 8, 8, 1), np.uint8), "UINT8")  # 64 MB that weigh 62 kB on their way
    with triton.InferenceServerClient(locked) as client:
        answer = client.infer("digits", one, headers=RIGHT, compression_algorithm=kind)
        assert answer.as_numpy("probabilities").shape == (1, 10)
    for headers, wanted in ((RIGHT, "StatusCode.RESOURCE_EXHAUSTED"), ({}, "StatusCode.UNAUTHENTICATED")):
        assert refused(locked, "digits", bomb, headers=headers, compression_algorithm=kind)[0] == wanted


BOMB = """
import grpc, sys
address, method, kind, *key = sys.argv[1:]
channel = grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)])
metadata = [("authorization", one) for one in key]
try:
    call = channel.unary_unary(method)
    call(bytes(100 << 20), metadata=metadata, compression=getattr(grpc.Compression, kind), timeout=60)
except grpc.RpcError as error:
    print(error.code().name)
"""


@pytest.mark.parametrize("kind", ["Gzip", "Deflate"])
def test_a_bomb_takes_no_memory_with_a_key_or_without(locked: str, kind: str) -> None:
    def sent(*key: str) -> str:
        command = [sys.executable, "-c", BOMB, locked, f"/{SERVICE}/ModelInfer", kind, *key]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    for key, wanted in ((["Bearer x"], "UNAUTHENTICATED"), ([RIGHT["authorization"]], "RESOURCE_EXHAUSTED")):
        found, size = grown(lambda key=key: sent(*key))  # type: ignore[misc]
        assert found == wanted
        assert size < 20 << 20


def status_of(address: str, method: str, messages: Iterator[bytes], headers: dict[str, str]) -> tuple[str, str]:
    """Return what refuses a call whose messages are `messages`."""
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(f"/{SERVICE}/{method}")(messages, metadata=tuple(headers.items()), timeout=10)
    return caught.value.code().name, caught.value.details()


def test_nothing_is_read_of_a_call_before_it_is_let_in(locked: str) -> None:
    held = threading.Event()

    def never() -> Iterator[bytes]:
        held.wait(30)
        yield b""

    try:
        assert status_of(locked, "ModelInfer", never(), {})[0] == "UNAUTHENTICATED"
        with grpc.insecure_channel(locked) as channel:
            live = channel.stream_unary(f"/{SERVICE}/ServerLive")(never(), timeout=10)
        assert live == b"\x08\x01"
        found = status_of(locked, "ModelInfer", never(), RIGHT)
        assert found == ("DEADLINE_EXCEEDED", "the request took longer than 1 s")
    finally:
        held.set()


def test_what_is_no_message_is_told_so(locked: str) -> None:
    found = status_of(locked, "ModelInfer", iter([b"\xff\xff"]), RIGHT)
    assert found == ("INVALID_ARGUMENT", "the message is no ModelInferRequest")
    found = status_of(locked, "ModelInfer", iter([]), RIGHT)
    assert found == ("INVALID_ARGUMENT", "the call brings no message that is read")
