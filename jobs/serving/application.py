"""Puts a Model artifact behind Ray Serve, asks it a real question over HTTP, and checks the answer."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.runtime.classifier import Classifier, Raw, as_json, golden_rows
from jobs.spec import Spec


class Place(Spec):
    """Where an application answers."""

    application: str
    host: str
    port: int
    replicas: int
    cpus: float
    reject_below: float | None = None


def deploy(folder: Folder, place: Place, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Deploy the model in `folder`, wait until it is healthy, and return the Endpoint's facts.

    Raises StepError when the answer over HTTP is not the one the file gives offline.
    """
    model = Model.load(folder)
    model.require_servable(str(folder))
    sha256 = folder.sha256(model.served)
    url = _serve(folder, place, sha256)
    try:
        return _tried(url, folder, model, place, sha256, tell)
    except BaseException:
        _withdraw(place.application)  # what answered wrongly must not go on answering
        raise


def _tried(
    url: str, folder: Folder, model: Model, place: Place, sha256: str, tell: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Ask the endpoint about a row whose answer is known, and return the Endpoint's facts."""
    tell({"serving": url})
    path = folder.fetch()
    item = golden_rows(path)[0]
    answer = ask(url, item)
    offline = Classifier(model, path, reject_below=place.reject_below).classify([item])
    if answer["predictions"] != offline:
        raise StepError(url, f"answered {answer['predictions']}", f"{offline}, as the file does offline")
    tell({"answered": answer["predictions"][0]["label"] or "no label: not sure enough", "url": url})
    request = {"path": "/v1/classify", "item": _shown(item)}
    return {
        "url": url,
        "application": place.application,
        "model_sha256": sha256,
        "request": request,
        "answer": answer,
        "reject_below": place.reject_below,
    }


def _shown(item: Raw) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, bytes):
        return f"an image of {len(item)} bytes"
    return f"{_shown(item.image)} with the text {item.text}"


def _withdraw(application: str) -> None:
    from ray import serve

    serve.delete(application)


def _serve(folder: Folder, place: Place, sha256: str) -> str:
    from ray import serve

    from jobs.serving.replica import Replica

    port = _port(place)
    serve.start(http_options={"host": place.host, "port": port})
    deployment = serve.deployment(
        Replica,
        name="classifier",
        num_replicas=place.replicas,
        max_ongoing_requests=32,
        max_queued_requests=256,
        ray_actor_options={"num_cpus": place.cpus},
    )
    application = deployment.bind(place.application, str(folder), sha256, place.reject_below)
    prefix = f"/{place.application}"
    serve.run(application, name=place.application, route_prefix=prefix)
    return f"http://{_bound(place.host, port)}{prefix}"


def _bound(host: str, port: int) -> str:
    """Return where Serve really listens: a Serve that was running keeps its own address."""
    from ray import serve

    status = serve.status()
    assert status.proxies, "an application that runs has a proxy"
    options = serve.context._get_global_client().http_config
    return f"{options.host or host}:{options.port or port}"


def _port(place: Place) -> int:
    """Return the port to listen on; StepError when it is taken by anything but this cluster's Serve."""
    from ray import serve

    if serve.status().proxies:
        return place.port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((place.host, place.port))
        except OSError as error:
            where = f"port {place.port} of {place.host}"
            raise StepError(
                where, f"cannot be listened on ({error.strerror})", remedy="set port to another, or to 0"
            ) from None
        return int(probe.getsockname()[1])


def ask(url: str, item: Raw, timeout: float = 30) -> dict[str, Any]:
    """Return the answer of the endpoint at `url` to one text, encoded image or pair; StepError when there is none."""
    kind = "application/octet-stream" if isinstance(item, bytes) else "application/json"
    body = item if isinstance(item, bytes) else json.dumps(as_json(item)).encode()
    request = urllib.request.Request(f"{url}/v1/classify", body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        raise StepError(url, f"answered {error.code} ({error.read().decode(errors='replace')[:300]})") from None
    except (urllib.error.URLError, TimeoutError) as error:
        raise StepError(url, f"does not answer ({error})", remedy="is the endpoint still up?") from None
