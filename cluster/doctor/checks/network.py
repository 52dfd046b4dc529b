"""Which network interface NCCL would take: the wrong one of several makes GPUs wait for each other for ever."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from cluster.doctor.check import Check, Finding, Seen

NAMED = "NCCL_SOCKET_IFNAME"
NETWORKS = Path("/sys/class/net")
VIRTUAL = ("lo", "docker", "veth", "br-", "virbr", "cni", "flannel", "cali")


class Network(Check):
    """The interfaces that are up, the one named for NCCL, and whether there is a GPU to use it."""

    name = "network"

    def look(self) -> dict[str, object]:
        """Return the interfaces, what is named, and the number of NVIDIA GPUs."""
        up = [p.name for p in sorted(NETWORKS.glob("*")) if _state(p) in ("up", "unknown")]
        gpus = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
        return {"up": up, "named": os.environ.get(NAMED, ""), "gpus": gpus}

    def judge(self, seen: Seen, here: Seen) -> Iterator[Finding]:
        """Judge what is named against what is there."""
        up, named = seen.facts["up"], seen.facts["named"]
        real = [name for name in up if not name.startswith(VIRTUAL)]
        listed = ", ".join(real) or "none"
        if named and not any(name.startswith(named.lstrip("=^")) for name in up):
            yield self.error(seen, f"{NAMED}={named} is not up here ({listed})", "name one that is on every node")
        elif not named and seen.facts["gpus"] and len(real) > 1:
            remedy = "name the one between nodes: strategy: {network_interface: …}"
            yield self.warning(seen, f"NCCL chooses among {listed}", remedy)
        else:
            yield self.ok(seen, f"{named or listed}")


def _state(path: Path) -> str:
    try:
        return (path / "operstate").read_text().strip()
    except OSError:
        return ""
