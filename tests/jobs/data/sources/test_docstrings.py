from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import RequestError
from jobs.data.rows import Row
from jobs.data.sources.docstrings import Docstrings


def source(**fields: Any) -> Docstrings:
    return Docstrings.model_validate({"kind": "docstrings", **fields})


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the importable package `herbs`, which would fail if it were imported."""
    folder = tmp_path / "herbs"
    (folder / "tests").mkdir(parents=True)
    (folder / "__init__.py").write_text('"""All that there is to know of herbs."""\nraise SystemExit\n')
    (folder / "thyme.py").write_text(
        'class Thyme:\n    """Too short."""\n\n    async def grow(self):\n'
        '        """Grow in the sun until it flowers."""\n\ndef again():\n    """Grow in the sun until it flowers."""\n'
    )
    (folder / "broken.py").write_text("def (:")
    (folder / "tests" / "test_thyme.py").write_text('"""Tests are left out, they are not prose."""')
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_docstrings_are_found_by_parsing(package: Path) -> None:
    rows = [row for row in source(packages=["herbs"]).rows() if isinstance(row, Row)]
    assert {(row.name, row.raw, row.label) for row in rows} == {
        ("herbs/__init__.py:1", "All that there is to know of herbs.", "herbs"),
        ("herbs/thyme.py:8", "Grow in the sun until it flowers.", "herbs"),
    }
    assert "herbs" not in sys.modules


def test_the_limit_bounds_each_package() -> None:
    labels = [row.label for row in source(packages=["email", "json"], limit=5).rows() if isinstance(row, Row)]
    assert labels == ["email"] * 5 + ["json"] * 5


def test_the_default_packages_give_balanced_classes() -> None:
    labels = [row.label for row in source(limit=100).rows() if isinstance(row, Row)]
    assert labels == [name for name in ("matplotlib", "numpy", "ray", "tf_keras") for _ in range(100)]


def test_packages_without_source_are_named() -> None:
    with pytest.raises(RequestError) as caught:
        list(source(packages=["no_such_package"]).rows())
    assert str(caught.value) == (
        "package 'no_such_package': is not installed, wanted an installed package with .py files; "
        "install it or name another"
    )
    with pytest.raises(RequestError, match=r"^package 'no_such_package': is not installed"):
        source(packages=["no_such_package"]).digest(str)
    with pytest.raises(RequestError, match=r"^package 'math': has no Python source|^package 'math': is not installed"):
        list(source(packages=["math"]).rows())


def test_the_digest_is_of_versions() -> None:
    assert source(packages=["json"]).digest(str) == f"json of Python {sys.version.split()[0]}"
    assert source(packages=["sklearn"]).digest(str).startswith("sklearn of scikit-learn ")
