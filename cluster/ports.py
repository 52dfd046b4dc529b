"""Ports that are free, and held until what is to listen there is about to: meanwhile no other process is given them."""

from __future__ import annotations

import socket


class Port:
    """A free port of this node."""

    def __init__(self) -> None:
        self._probe = socket.socket()
        self._probe.bind(("", 0))
        self.number = int(self._probe.getsockname()[1])

    def address(self) -> str:
        """Return `host:port` by which other nodes know it."""
        import ray

        return f"{ray.util.get_node_ip_address()}:{self.number}"

    def release(self) -> None:
        """Let it go, right before something else listens there."""
        self._probe.close()


_HELD: list[Port] = []  # by this process


def hold() -> str:
    """Hold a port for this process and return its address: what releases it may be called from anywhere in it."""
    _HELD.append(Port())
    return _HELD[-1].address()


def release() -> None:
    """Let go of what this process holds."""
    while _HELD:
        _HELD.pop().release()
