"""Puts a Model artifact behind Ray Serve, asks it a real question over HTTP, and checks the answer."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from cluster.errors import EspalierError, StepError
from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.runtime.classifier import Classifier, Raw, as_json, golden_rows
from jobs.serving.canary import Canary, Shadow
from jobs.serving.controlling import Control
from jobs.serving.haproxy.front import proxy_in_use
from jobs.serving.keys import HashedKey, new_key
from jobs.serving.limits import Limits
from jobs.serving.plan import Plan, asked_of
from jobs.serving.rollout import Candidate, give_back, place_first, replace
from jobs.serving.scale import Scale
from jobs.spec import Spec

Tell = Callable[[dict[str, Any]], None]
PASSING = (408, 429, 502, 503, 504)  # statuses of those who have no time, or nobody behind them, now
PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds before an endpoint is asked again


class BusyError(StepError):
    """An endpoint that does not answer now, but may soon."""


class Place(Spec):
    """Where an application answers, what it takes, and how a version takes another's place."""

    application: str
    host: str
    port: int
    replicas: int
    cpus: float
    reject_below: float | None = None
    route: str = "/"
    grpc_port: int | None = None
    more: dict[str, str] = {}  # folders of other models, by the names they are asked for
    keys: list[HashedKey] = []
    limits: Limits = Limits()
    shadow: Shadow | None = None
    canary: Canary | None = None
    slower: float = 2.0  # times the golden rows may take, compared with the version that answers
    golden_ms: float | None = None
    scale: Scale | None = None  # how the replicas change from there
    insists: list[str] = ["host", "port"]  # on what must be as given where Serve runs already
    labels: dict[str, str] = {}  # of the nodes the replicas run on


def deploy(folder: Folder, place: Place, tell: Tell) -> dict[str, Any]:
    """Deploy the model in `folder`, wait until it is healthy, and return the Endpoint's facts.

    Where the application runs already, the version that answers goes on answering until the new one has proven itself.
    Raises StepError when the answers are not those the file gives offline, or when it is rolled back. What was there
    before is there again then: nothing else is taken away.
    """
    candidate, golden = _candidate(folder, place.reject_below)
    more = {name: _candidate(Folder.parse(other))[0] for name, other in place.more.items()}
    control = Control(place.application)
    url = control.listening(place)
    tell({"proxy": proxy_in_use()})
    written, before = control.written(), None
    if control.running():
        control.ready(url)
        before = control.plan()
    secret, key = new_key("deployment")
    try:
        if before is not None:
            outcome = replace(control, place, candidate, more, tell, key)
        else:
            outcome = place_first(control, place, candidate, more, key)
        tell({"serving": url})
        answer = _tried(url, golden[0], candidate, secret if place.keys else None, tell)
    except BaseException as error:
        try:
            _undo(control, place, candidate, before, written, f"{type(error).__name__}: {error}")
        except EspalierError as also:  # why the deployment failed matters more
            tell({"not_undone": str(also)})
        raise
    control.settle(place)
    request = {"path": "/v1/classify", "item": _shown(golden[0])}
    return {
        "url": url,
        "application": place.application,
        "model_sha256": candidate.asked.sha256,
        "request": request,
        "answer": answer,
        "reject_below": place.reject_below,
        "outcome": outcome,
    }


def _undo(
    control: Control,
    place: Place,
    candidate: Candidate,
    before: Plan | None,
    written: dict[str, Any] | None,
    reason: str,
) -> None:
    """Have answer what answered before: what answered wrongly must not go on, and nothing else is taken away."""
    if before is not None:
        give_back(control, before, candidate, reason)
        control.settle(place)
    elif written is not None:
        control.put_back(written)
    else:
        control.withdraw()


def _candidate(folder: Folder, reject_below: float | None = None) -> tuple[Candidate, list[Raw]]:
    """Return the model in `folder` with what it answers offline to its golden rows, and those."""
    model = Model.load(folder)
    model.require_servable(str(folder))
    path = folder.fetch()
    offline, golden = Classifier(model, path, reject_below=reject_below), golden_rows(path)
    return Candidate(asked_of(folder, model, reject_below), [offline.classify([item])[0] for item in golden]), golden


def _tried(url: str, item: Raw, candidate: Candidate, secret: str | None, tell: Tell) -> dict[str, Any]:
    """Ask the endpoint about a row whose answer is known; StepError when it answers anything else."""
    answer = _answer(url, item, secret)
    if answer["predictions"] != candidate.offline[:1]:
        raise StepError(url, f"answered {answer['predictions']}", f"{candidate.offline[:1]}, as the file does offline")
    tell({"answered": answer["predictions"][0]["label"] or "no label: not sure enough", "url": url})
    return answer


def _answer(url: str, item: Raw, secret: str | None) -> dict[str, Any]:
    """Ask until there is an answer, a few times: whoever is busy with others may have one soon."""
    for pause in PAUSES:
        try:
            return ask(url, item, secret)
        except BusyError:
            time.sleep(pause)
    return ask(url, item, secret)


def _shown(item: Raw) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, bytes):
        return f"an image of {len(item)} bytes"
    return f"{_shown(item.image)} with the text {item.text}"


def ask(url: str, item: Raw, key: str | None = None, timeout: float = 30) -> dict[str, Any]:
    """Return the answer of the endpoint at `url` to one text, encoded image or pair; StepError when there is none."""
    kind = "application/octet-stream" if isinstance(item, bytes) else "application/json"
    body = item if isinstance(item, bytes) else json.dumps(as_json(item)).encode()
    headers = {"Content-Type": kind} | ({} if key is None else {"Authorization": f"Bearer {key}"})
    request = urllib.request.Request(f"{url}/v1/classify", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        refusal = BusyError if error.code in PASSING else StepError
        raise refusal(url, f"answered {error.code} ({error.read().decode(errors='replace')[:300]})") from None
    except (OSError, http.client.HTTPException) as error:  # also of a connection that ended within an answer
        raise BusyError(url, f"does not answer ({error})", remedy="is the endpoint still up?") from None
