"""Which ports of this machine are listened on, and on which addresses: from /proc, so of every user's processes."""

from __future__ import annotations

from pathlib import Path

LISTEN = "0A"
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
EVERYWHERE = ("00000000", "0" * 32)


def listening() -> dict[int, bool]:
    """Return the ports, and of each whether it is open on every address of the machine."""
    found: dict[int, bool] = {}
    for table in map(Path, TABLES):
        if not table.is_file():
            continue
        for line in table.read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, port = local.partition(":")
            if state == LISTEN:
                number = int(port, 16)
                found[number] = found.get(number, False) or address in EVERYWHERE
    return found
