"""A cluster's job server, which is its dashboard: one place that speaks to it, each request bounded in time.

Ray's own client would let RAY_ADDRESS override the address it is given, and waits without limit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from cluster.errors import ClusterError, RequestError
from cluster.submit.token import find_token

CONNECT_S = 10.0  # how long a dashboard may take to accept a connection
ANSWER_S = 30.0  # and to answer a question; Ray itself waits for ever
UPLOAD_S = 600.0  # and to take a package of the largest size
PORT = 8265
RUNNING = ("PENDING", "RUNNING")
OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
LARGEST_BODY = 100 * 2**20  # bytes; the dashboard cuts the connection beyond


@dataclass(frozen=True)
class Found:
    """Where the dashboard is, and what is to be told of how that was found."""

    url: str
    note: str = ""


def find_dashboard(asked: str | None) -> Found:
    """Return the URL of the dashboard: the one asked for, else what RAY_API_SERVER_ADDRESS or RAY_ADDRESS names.

    Raises RequestError when there is none.
    """
    named = next(((name, os.environ[name]) for name in OVERRIDES if os.environ.get(name)), None)
    if asked is None and named is None:
        raise RequestError("--address", "is missing", "the cluster's dashboard", "e.g. http://127.0.0.1:8265")
    if asked is None:
        assert named is not None, "one of the two is there"
        return Found(_url(named[1]), f"the cluster is the one that {named[0]} names: {_url(named[1])}")
    url = _url(asked)
    if named is None or named[1].rpartition("://")[2].rstrip("/") == url.rpartition("://")[2]:
        return Found(url)
    return Found(url, f"--address {asked} is used; {named[0]}={named[1]}, which `ray job submit` would follow, is not")


def _url(text: str) -> str:
    scheme, separator, rest = text.strip().rpartition("://")
    if separator and scheme == "ray":
        remedy = f"e.g. http://{rest.partition(':')[0]}:{PORT}"
        raise RequestError(text, "is an address of Ray Client", "the dashboard's", remedy)
    if separator and scheme not in ("http", "https"):
        raise RequestError(text, f"begins with {scheme}://", "http:// or https://")
    rest = rest.rstrip("/")
    if rest in ("", "auto", "local"):
        raise RequestError(text or "--address", "names no machine", "the dashboard's host and port")
    with_port = rest if ":" in rest.rpartition("]")[2] or scheme == "https" else f"{rest}:{PORT}"
    return f"{scheme or 'http'}://{with_port}"


@dataclass(frozen=True)
class Job:
    """What the cluster knows of a job."""

    id: str
    status: str
    entrypoint: str
    message: str = ""
    exit_code: int | None = None
    started: int = 0  # milliseconds since 1970, as all its times
    ended: int = 0
    metadata: dict[str, str] | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.status in RUNNING

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Job:
        """Make one from what the server tells."""
        return cls(
            id=str(facts.get("submission_id") or facts.get("job_id") or ""),
            status=str(facts.get("status")),
            entrypoint=str(facts.get("entrypoint") or ""),
            message=str(facts.get("message") or ""),
            exit_code=facts.get("driver_exit_code"),
            started=int(facts.get("start_time") or 0),
            ended=int(facts.get("end_time") or 0),
            metadata=facts.get("metadata") or {},
        )


class Server:
    """The job server at a URL, asked with the token if there is one."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self.token = find_token() if token is None else token

    @property
    def headers(self) -> dict[str, str]:
        """What identifies us."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def version(self) -> str:
        """Return the cluster's version of Ray; ClusterError when what answers is no dashboard of Ray's."""
        try:
            return str(self._ask("GET", "/api/version").json()["ray_version"])
        except (ValueError, KeyError, TypeError):
            raise ClusterError(f"cluster {self.url}", "answers, but is no Ray dashboard", remedy=_PORTS) from None

    def job(self, identity: str) -> Job | None:
        """Return the job with this submission id, None when the cluster knows none."""
        answer = self._ask("GET", f"/api/jobs/{quote(identity, safe='')}", missing=True)
        return None if answer is None else Job.of(answer.json())

    def jobs(self) -> list[Job]:
        """Return every job that was submitted, the latest first."""
        found = [Job.of(facts) for facts in self._ask("GET", "/api/jobs/").json() if facts.get("submission_id")]
        return sorted(found, key=lambda job: job.started, reverse=True)

    def log(self, identity: str) -> str:
        """Return all that a job has printed."""
        answer = self._ask("GET", f"/api/jobs/{quote(identity, safe='')}/logs", missing=True)
        return "" if answer is None else str(answer.json().get("logs") or "")

    def start(self, request: dict[str, Any]) -> None:
        """Start a job: entrypoint, submission_id, runtime_env, metadata."""
        self._ask("POST", "/api/jobs/", json=request)

    def stop(self, identity: str) -> bool:
        """Ask a job to end; say whether it ran."""
        return bool(self._ask("POST", f"/api/jobs/{quote(identity, safe='')}/stop").json().get("stopped"))

    def has_package(self, name: str) -> bool:
        """Say whether the cluster holds a package."""
        return self._ask("GET", f"/api/packages/gcs/{name}", missing=True) is not None

    def put_package(self, name: str, data: bytes) -> None:
        """Hand the cluster a package."""
        self._ask("PUT", f"/api/packages/gcs/{name}", data=data, seconds=UPLOAD_S)

    def _ask(self, method: str, path: str, *, missing: bool = False, seconds: float = ANSWER_S, **body: Any) -> Any:
        """Return the answer; None for one that is not there, where that is no error."""
        import requests

        where = f"cluster {self.url}"
        try:
            limits = (CONNECT_S, seconds)
            answer = requests.request(method, self.url + path, headers=self.headers, timeout=limits, **body)
        except requests.exceptions.Timeout:
            raise ClusterError(where, f"does not answer within {seconds:g} s", remedy=_WHERE) from None
        except requests.exceptions.RequestException as error:
            raise ClusterError(where, f"does not answer ({_reason(error)})", remedy=_WHERE) from None
        if answer.status_code in (401, 403):
            raise self._refused(answer.status_code)
        if answer.status_code == 404 and missing:
            return None
        if not answer.ok:
            raise ClusterError(where, f"answers {answer.status_code} ({_last_line(answer.text)})", remedy=_LOGS)
        return answer

    def _refused(self, code: int) -> ClusterError:
        wanted = "the token of the cluster"
        if code == 401 and not self.token:
            found = "asks for a token, and there is none here"
            remedy = "copy it from the head node to ~/.ray/auth_token (mode 0600), or set RAY_AUTH_TOKEN_PATH"
            return ClusterError(f"cluster {self.url}", found, wanted, remedy)
        remedy = "compare RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token with the head node's"
        return ClusterError(f"cluster {self.url}", "refuses our token", wanted, remedy)


_WHERE = f"check --address: it is the dashboard's, by default port {PORT} of the head node, which may need a tunnel"
_PORTS = f"check --address: the dashboard has by default port {PORT}, Ray itself 6379"
_LOGS = "its log is logs/dashboard.log in Ray's folder on the head node (/tmp/ray/session_latest)"


def _reason(error: Exception) -> str:
    """Return the innermost cause in a few words."""
    inner: BaseException = error
    while inner.__context__ is not None or inner.__cause__ is not None:
        inner = inner.__cause__ or inner.__context__ or inner
    return getattr(inner, "strerror", None) or _last_line(str(inner))


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else "nothing"
