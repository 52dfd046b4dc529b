from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest

from cluster.process import Process

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def child() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)


def test_this_process_lives() -> None:
    me = Process.this()
    assert me.pid == os.getpid()
    assert me.is_here()
    assert not me.is_dead()
    assert Process.read(me.document()) == me == pickle.loads(pickle.dumps(me))  # noqa: S301


@linux
def test_a_killed_process_is_dead_before_its_parent_has_reaped_it() -> None:
    with child() as process:
        one = replace(Process.this(), pid=process.pid, started=0)
        assert not one.is_dead()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert one.is_dead()
    assert one.is_dead()


@linux
def test_another_process_under_a_used_id_is_not_the_one_that_died() -> None:
    me = Process.this()
    assert replace(me, started=me.started - 1).is_dead()


def test_of_another_machine_nothing_is_known() -> None:
    gone = replace(Process.this(), pid=2**22 + 1)
    assert gone.is_dead()
    assert not replace(gone, host="elsewhere").is_dead()
    assert not replace(gone, machine="another boot").is_dead()
