"""Whether the ports that answer requests are free, or in use by what should use them, and not open by accident."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.doctor.check import Check, Finding, Seen
from cluster.doctor.checks.listening import listening

SERVED = {8000: "Ray Serve's HTTP", 9000: "Ray Serve's gRPC", 10001: "Ray Client, which runs any code it is sent"}


class Ports(Check):
    """The well-known ports of what Espalier starts, and of Ray Client."""

    name = "ports"

    def look(self) -> dict[str, bool]:
        """Return which of them are listened on, and whether on every address."""
        return {str(port): everywhere for port, everywhere in listening().items() if port in SERVED}

    def judge(self, seen: Seen, here: Seen) -> Iterator[Finding]:
        """Judge those open on every address."""
        for text, everywhere in seen.facts.items():
            if everywhere:
                remedy = "bind it to 127.0.0.1 or a private address, or close it with a firewall"
                yield self.warning(seen, f"port {text} ({SERVED[int(text)]}) is open on all addresses", remedy)
        if not any(seen.facts.values()):
            used = ", ".join(seen.facts)
            yield self.ok(seen, f"in use, not open on all addresses: {used}" if used else "those of serving are free")
