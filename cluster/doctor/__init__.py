"""What is wrong with this machine or a cluster, and how to mend it: one file a check. Jobs add their own."""

from __future__ import annotations

from cluster.doctor.check import Check
from cluster.doctor.checks.clock import Clock
from cluster.doctor.checks.code import Code
from cluster.doctor.checks.dashboard import Dashboard
from cluster.doctor.checks.disk import Disk
from cluster.doctor.checks.image import Image
from cluster.doctor.checks.network import Network
from cluster.doctor.checks.ports import Ports
from cluster.doctor.checks.python import Python
from cluster.doctor.checks.shared_memory import SharedMemory
from cluster.doctor.checks.store import Store
from cluster.doctor.checks.token import Token
from cluster.doctor.checks.versions import Versions


def checks(store: str) -> list[Check]:
    """Return the checks of a cluster that keeps artifacts at `store`."""
    return [
        Python(),
        Versions(),
        Code(),
        Image(),
        Token(),
        Dashboard(),
        Ports(),
        Store(store),
        Clock(),
        Disk(),
        SharedMemory(),
        Network(),
    ]
