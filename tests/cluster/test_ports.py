from __future__ import annotations

import socket

import pytest

from cluster import ports


def test_a_port_is_nobody_elses_until_it_is_released() -> None:
    address = ports.hold()
    port = int(address.rpartition(":")[2])
    with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
        other.bind(("", port))
    ports.release()
    with socket.socket() as other:
        other.bind(("", port))
    ports.release()  # nothing is held any more
