"""Work on a cluster, and its end by Ctrl-C and SIGTERM: the first stops cleanly, the second at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from cluster.session import address_of, connect, disconnect, head_address
from cluster.starting.warm_start import Imports

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = 130
SHOW_CURSOR = b"\x1b[?25h"  # a live table hides it


@contextmanager
def stopping(stop: threading.Event) -> Iterator[Callable[[], None]]:
    """Set `stop` on the first signal in this block, end the process on the second.

    Yields a function that takes the signals again, for after a library that takes them for itself.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def heard(number: int, frame: object) -> None:
        if stop.is_set():
            if sys.stdout.isatty():
                os.write(sys.stdout.fileno(), SHOW_CURSOR)
            os._exit(STOPPED)
        stop.set()
        os.write(2, b"stopping; once more to force\n")  # not print: the signal may come amid one

    def take() -> None:
        for number in SIGNALS:
            signal.signal(number, heard)

    take()
    try:
        yield take
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def at_work(
    address: str | None, warm: Imports | None = None, namespace: str | None = None
) -> Iterator[threading.Event]:
    """Connect to the cluster at `address`, or start one here, for the length of a block, and tell so.

    Names given there belong to `namespace`: others' of the same name are others. Yields the event that the first
    signal sets.
    """
    from jobs.serving.haproxy.front import haproxy  # a cached run does without it

    stop = threading.Event()
    where = address_of(address)
    with stopping(stop) as take_signals:
        print(f"connecting to {where}" if where else "starting a cluster on this machine", file=sys.stderr)
        connect(address, warm=warm, front=haproxy, namespace=namespace)
        take_signals()  # connecting takes SIGTERM for itself
        try:
            with _contact(where):
                yield stop
        finally:
            disconnect()


def _contact(where: str | None) -> AbstractContextManager[object]:
    """Return the watch over the head of a cluster that others started; one of this machine ends with this process."""
    from pipelines.commands.ends.losing import Contact

    head = head_address() if where else ""
    contact = Contact(str(where), head) if head else None
    return contact if contact and contact.answers() else nullcontext()  # its own name for itself may mean nothing here
