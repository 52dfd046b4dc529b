"""A small model of digits, once for all tests of serving, and a replica's application without Ray."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from PIL import Image

from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.serving.answering.app import App
from jobs.serving.answering.guard import Guard
from jobs.serving.answering.observing import Observer
from jobs.serving.keys import HashedKey, KeyRing
from jobs.serving.limits import Limits
from jobs.serving.plan import Asked, Plan, asked_of
from jobs.serving.versions.models import Models
from jobs.strategies import Single
from jobs.training import TrainWork
from tests.jobs.data.making import saved
from tests.rig import TINY, MemoryKeeper


def trained(digits: Folder, root: Any, seed: int = 0, width: int = 4) -> Folder:
    """Return the folder of a model of digits trained for one epoch."""
    out = Folder.parse(str(root / f"model-{seed}-{width}"))
    spec = ModelSpec.model_validate({"backbone": {**TINY, "width": width}})
    recipe = TrainRecipe(epochs=1, batch_size=64, learning_rate=0.01, seed=seed)
    TrainWork(spec, recipe, Single(), digits, out)(Single().engine(), MemoryKeeper(root / f"work-{seed}-{width}"))
    return out


@pytest.fixture(scope="session")
def model(digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return trained(digits, tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def newer(digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Return the folder of another model of digits, which answers otherwise."""
    return trained(digits, tmp_path_factory.mktemp("newer"), seed=1)


@pytest.fixture(scope="session")
def heavier(digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Return the folder of a model that takes many times as long: too long where requests wait for one another."""
    return trained(digits, tmp_path_factory.mktemp("heavier"), width=144)


@pytest.fixture(scope="session")
def brittle(model: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Return the folder of a model that answers golden rows, and fails on an image that is all white."""
    import tensorflow as tf
    import tf_keras as keras

    from jobs.convert import to_litert

    folder = tmp_path_factory.mktemp("brittle") / "model"
    shutil.copytree(model.path, folder)
    image = keras.Input((8, 8, 1), name="image")
    brightness = keras.layers.Lambda(lambda x: tf.cast(tf.reduce_mean(x, [1, 2, 3]) / 16.0, "int32"))(image)
    logits = keras.layers.Lambda(lambda place: tf.gather(tf.eye(12, 10), place))(brightness)  # of 16 places
    (folder / "model.tflite").write_bytes(to_litert(keras.Model(image, logits)))
    return Folder.parse(str(folder))


def white() -> bytes:
    """Return an image that is all white, as a PNG file."""
    return saved(Image.new("L", (8, 8), 255))


def asked(folder: Folder, weight: float = 1.0) -> Asked:
    """Return a model as a version that answers with this weight."""
    return asked_of(folder, Model.load(folder)).model_copy(update={"weight": weight})


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def listening(app: App) -> Iterator[str]:
    """Answer HTTP from a thread, for the length of a block; yields the address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@dataclass
class Answer:
    """What an application sent."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def app_of(
    *versions: Asked,
    limits: Limits | None = None,
    keys: list[HashedKey] | None = None,
    name: str = "digits",
    observers: Sequence[Observer] = (),
    more: dict[str, Asked] | None = None,
) -> App:
    """Return an application that serves versions, and a version of each other model, without Ray."""
    plan = Plan(model=name, versions=list(versions), limits=limits or Limits(), more=more or {})
    models = Models(plan, lambda name: observers)
    models.load(plan)
    return App(models, Guard(plan.limits, KeyRing(keys or [])), list(observers))


async def asking(
    app: App,
    method: str,
    path: str,
    body: bytes = b"",
    kind: str = "",
    headers: dict[str, str] | None = None,
    peer: str = "127.0.0.1",
    pieces: list[bytes] | None = None,
) -> Answer:
    """Send one request through ASGI; a body given as `pieces` comes in as many messages, and ends only with them."""
    answer = Answer()
    left = [body] if pieces is None else list(pieces)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.sleep(3600)  # a client that says no more
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left) or pieces is not None}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.headers = message["status"], dict(message["headers"])
        else:
            answer.body += message["body"]

    given = {**({"content-type": kind} if kind else {}), **(headers or {})}
    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "root_path": "", "client": (peer, 1)}
    scope["headers"] = [(name.lower().encode(), value.encode()) for name, value in given.items()]
    await app(scope, receive, send)
    return answer


def ask(*args: Any, **options: Any) -> Answer:
    """Send one request, and wait for its answer."""
    return asyncio.run(asking(*args, **options))
