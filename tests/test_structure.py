"""The shape of the house: directions of imports, sizes of files and functions, and who may name whom."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import kinds  # noqa: F401  every member is registered
from jobs.data.augment import Augment
from jobs.data.sources import Source
from jobs.models import Backbone
from jobs.spec import Choice
from jobs.strategies import Strategy
from jobs.techniques import Technique

ROOT = Path(__file__).parent.parent
PACKAGES = ("cluster", "jobs", "pipelines")
FORBIDDEN = {"cluster": {"jobs", "pipelines", "tests", "tensorflow", "tf_keras"}, "jobs": {"pipelines", "tests"}}
WORKERS_ONLY = {"tensorflow", "tf_keras", "tensorflow_model_optimization", "tensorflow_hub"}
LIGHT = ("jobs/kinds", "jobs/data/augment", "jobs/data/sources", "jobs/techniques", "pipelines")
ARRAYS = ("chain.py", "draws.py", "warp.py", "colour.py", "operations.py")  # what augmentations do
MODALITIES = ("image", "text")
HEAVY = WORKERS_ONLY | {"ray", "pyarrow", "numpy", "scipy", "PIL", "sklearn", "tokenizers", "ai_edge_litert"}
HEAVY |= {"starlette", "safetensors", "h5py"}


def sources() -> list[Path]:
    return sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def every_file() -> list[Path]:
    return sources() + sorted((ROOT / "tests").rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield node.module or ""


def at_import(tree: ast.Module) -> Iterator[str]:
    """Yield what a module imports when it is imported: outside functions, and not for type checkers alone."""
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(node)


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield (name, lines) of every function, its docstring not counted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = len((ast.get_docstring(node, clean=False) or "").splitlines())
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1 - docstring


def names_from(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the names a module takes from `package` or a module in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package):
            yield from (alias.name for alias in node.names)


def test_imports_point_from_pipelines_to_jobs_to_cluster() -> None:
    for package, forbidden in FORBIDDEN.items():
        for file in (ROOT / package).rglob("*.py"):
            tops = {name.split(".")[0] for name in imports(ast.parse(file.read_text()))}
            assert not tops & forbidden, f"{file.relative_to(ROOT)} imports {tops & forbidden}"


def test_definitions_are_read_without_heavy_libraries() -> None:
    for file in sources():
        if str(file.relative_to(ROOT)).startswith(LIGHT):
            tops = {name.split(".")[0] for name in at_import(ast.parse(file.read_text()))}
            work = file.name in ("readers.py", *ARRAYS)  # opened where the work is done
            assert work or not tops & HEAVY, f"{file.relative_to(ROOT)} imports {tops & HEAVY} when it is imported"


def test_cluster_and_served_code_never_import_tensorflow() -> None:
    served = [*(ROOT / "cluster").rglob("*.py"), *(ROOT / "jobs/serving").rglob("*.py")]
    for file in [*served, *(ROOT / "jobs/runtime").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]:
        tops = {name.split(".")[0] for name in imports(ast.parse(file.read_text()))}
        assert not tops & WORKERS_ONLY, f"{file.relative_to(ROOT)} imports {tops & WORKERS_ONLY}"


def test_files_and_functions_are_short() -> None:
    lengths = []
    for file in every_file():
        text = file.read_text()
        assert text.count("\n") <= 300, f"{file.relative_to(ROOT)} has {text.count(chr(10))} lines"
        for name, lines in functions(ast.parse(text)):
            assert lines <= 50, f"{file.relative_to(ROOT)}: {name} has {lines} lines"
            lengths.append(lines)
    assert statistics.median(lengths) <= 10


def test_modules_say_what_they_are() -> None:
    for file in every_file():
        assert file.stem not in ("utils", "util", "helpers", "helper", "common", "misc"), file


def test_packages_hold_at_most_fifteen_files() -> None:
    for folder in {file.parent for file in sources()}:
        count = len(list(folder.glob("*.py")))
        assert count <= 15, f"{folder.relative_to(ROOT)} has {count} files"


@pytest.mark.parametrize(
    ("family", "home"),
    [
        (Technique, "techniques"),
        (Strategy, "strategies"),
        (Backbone, "models"),
        (Source, "data/sources"),
        (Augment, "data/augment"),
    ],
)
def test_members_are_named_only_in_their_package(family: type[Choice], home: str) -> None:
    members = {tag: cls for tag, cls in family.members().items() if cls.__module__.startswith("jobs.")}
    assert members
    for file in sources():
        if (ROOT / "jobs" / home) in file.parents:
            continue
        text = file.read_text()
        named = set(names_from(ast.parse(text), f"jobs.{home.replace('/', '.')}"))
        for tag, cls in members.items():
            assert cls.__name__ not in named, f"{file.relative_to(ROOT)} names {cls.__name__}"
            told_apart = re.search(rf"""kind["']?\]?\)?\s*(:|==|=|in)\s*\(?["']{tag}["']""", text)
            assert not told_apart or tag in MODALITIES, f"{file.relative_to(ROOT)} tells {tag} apart"
