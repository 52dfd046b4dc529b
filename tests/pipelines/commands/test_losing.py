"""A head that is lost ends the process; one that comes back in time, or never went, does not."""

from __future__ import annotations

import socket
import subprocess
import sys

RUN = """
import sys, time
from pipelines.commands.ends import losing
losing.LOOK = 0.1
with losing.Contact("toy", sys.argv[1], patience={patience}):
    print("working", flush=True)
    {work}
print("done")
"""


def ran(work: str, address: str, patience: float = 0.3) -> tuple[int, str, str]:
    command = [sys.executable, "-c", RUN.format(work=work, patience=patience), address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_work_that_waits_for_a_lost_head_ends() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # and does not listen
        found = ran("time.sleep(50)", f"127.0.0.1:{probe.getsockname()[1]}")
    assert found == (
        4,
        "working\n",
        "error: cluster toy: does not answer any more; what is finished is in the store: once the cluster answers, run "
        "again to go on\n",
    )


def test_a_lost_head_is_not_waited_for_at_the_end() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        code, out, _ = ran("raise ValueError", f"127.0.0.1:{probe.getsockname()[1]}")
    assert (code, out) == (4, "working\n")


def test_a_head_that_answers_or_comes_back_disturbs_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        assert ran("time.sleep(1)", f"127.0.0.1:{server.getsockname()[1]}", 30) == (0, "working\ndone\n", "")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    late = f"time.sleep(0.2); import socket; kept = socket.create_server(('127.0.0.1', {port})); time.sleep(1)"
    assert ran(late, f"127.0.0.1:{port}", 30) == (0, "working\ndone\n", "")
