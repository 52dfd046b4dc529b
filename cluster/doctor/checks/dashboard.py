"""Whether a dashboard is open to the network: it runs any command it is sent."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.doctor.check import Check, Finding, Seen
from cluster.doctor.checks.listening import listening

DEFAULT = 8265
PATIENCE = 5.0  # seconds it may take to answer
REMEDY = "start Ray with --dashboard-host=127.0.0.1, and reach it through a tunnel (ssh -L, kubectl port-forward)"


class Dashboard(Check):
    """On which addresses the dashboard listens."""

    name = "dashboard"
    port = DEFAULT

    def prepare(self) -> None:
        """Find out which port it has: nodes do not know."""
        self.port = _port()

    def look(self) -> dict[str, object]:
        """Return the dashboard's port if it listens on this machine, whether on all addresses, and asks for a token."""
        ports = listening()
        is_open = ports.get(self.port, False)
        asks = is_open and _asks_for_token(self.port)
        return {"port": self.port if self.port in ports else None, "open": is_open, "token": asks}

    def judge(self, seen: Seen, here: Seen) -> Iterator[Finding]:
        """Judge an open one; one without a token is an error."""
        port = seen.facts["port"]
        if port is None:
            return
        if not seen.facts["open"]:
            yield self.ok(seen, f"port {port} is not open on all addresses")
        elif seen.facts["token"]:
            yield self.warning(seen, f"port {port} is open on all addresses, with a token sent in the clear", REMEDY)
        else:
            yield self.error(seen, f"port {port} is open on all addresses, without a token", REMEDY)


def _asks_for_token(port: int) -> bool:
    """Say whether what listens on a port of this machine refuses a question without a token, as its owner set it up."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/api/version")
        return connection.getresponse().status in (401, 403)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _port() -> int:
    """Return the port of the cluster's dashboard as Ray tells it, else the usual one."""
    import sys

    if "ray" in sys.modules:
        import ray

        if ray.is_initialized():
            url = ray._private.worker.global_worker.node.address_info.get("webui_url") or ""
            port = url.rpartition(":")[2]
            return int(port) if port.isdecimal() else DEFAULT
    return DEFAULT
