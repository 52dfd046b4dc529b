"""The command line with toy jobs, which need no cluster: connecting does nothing but take SIGTERM, as Ray does.

`python -m tests.pipelines.offline run …`; with `--modules FILE` first, the modules imported are listed there at the end.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from cluster.session import Session
from pipelines.__main__ import main


def connect(address: str | None) -> Session:
    """Stand for `cluster.session.connect` where steps run in the driver."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
    return Session(address or "here", "", started_here=address is None)


def offline() -> None:
    """Make the run command connect to nothing."""
    from pipelines.commands import run

    run.connect = connect  # type: ignore[assignment]


if __name__ == "__main__":
    import tests.pipelines.toy_jobs  # noqa: F401

    offline()
    main()
