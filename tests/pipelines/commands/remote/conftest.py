"""One cluster for the tests of this package, and a folder with toy jobs that can be submitted to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.head import Head, head_node
from tests.pipelines import toy_jobs

# Python imports this by itself, wherever the package is unpacked.
CUSTOM = "import sys\nif 'pipelines' in sys.orig_argv:\n    import toy_jobs\n"


@pytest.fixture(scope="package")
def head() -> Iterator[Head]:
    """Run a cluster of one node with a token."""
    with head_node() as running:
        yield running


@pytest.fixture
def client(head: Head, monkeypatch: pytest.MonkeyPatch) -> Head:
    """Let this process have the cluster's token."""
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(head.token))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    return head


@pytest.fixture
def toys(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a definition of toy steps and what a job needs to know them."""

    def written(**steps: dict[str, object]) -> Path:
        (tmp_path / "sitecustomize.py").write_text(CUSTOM)
        shutil.copy(toy_jobs.__file__, tmp_path / "toy_jobs.py")
        (tmp_path / ".rayignore").write_text("runs/\ndiary\n")
        return toy_jobs.write(tmp_path / "toys.yaml", tmp_path / "diary", **steps).relative_to(tmp_path)

    return written
