"""The command line with toy jobs, which need no cluster: connecting does nothing but take SIGTERM, as Ray does.

`python -m tests.pipelines.offline run …`; with `--modules` first, what was imported is printed at the end; with
`--cluster` first, it connects all the same.
"""

from __future__ import annotations

import atexit
import signal
import sys
from types import FrameType

import tests.pipelines.toy_jobs  # noqa: F401  makes them known to definitions
from cluster.session import Session
from pipelines.__main__ import main


def connect(address: str | None, **options: object) -> Session:
    """Stand for `cluster.session.connect` where steps run in the driver."""

    def exits(number: int, frame: FrameType | None) -> None:
        sys.exit(number)

    signal.signal(signal.SIGTERM, exits)
    return Session(address or "here", "", started_here=address is None)


def offline() -> None:
    """Make the run command connect to nothing."""
    from pipelines.commands.ends import stopping

    vars(stopping)["connect"] = connect


def print_modules() -> None:
    """Print the top-level packages that were imported, on one line."""
    print(*sorted({name.partition(".")[0] for name in sys.modules}))


if __name__ == "__main__":
    if sys.argv[1] == "--modules":
        del sys.argv[1]
        atexit.register(print_modules)
    if sys.argv[1] == "--cluster":
        del sys.argv[1]
    elif "run" in sys.argv:
        offline()
    main()
