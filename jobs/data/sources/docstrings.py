"""Real text that is on every machine: the docstrings of installed Python packages, labelled by package.

The packages are parsed, never imported.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cluster.errors import RequestError
from jobs.artifacts import RejectedRow
from jobs.data.rows import Row
from jobs.data.sources.source import Modality, Source

Package = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
NOT_ITS_OWN = {"tests", "externals", "thirdparty", "thirdparty_files", "vendored", "_vendor"}  # other people's prose
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Docstrings(Source):
    """Docstrings of functions, classes and modules; the label is the package a text comes from.

    Files are taken in an order drawn from a hash of their paths, so that `limit` cuts a fair sample; a text that a
    package repeats is taken once.
    """

    kind: Literal["docstrings"] = "docstrings"
    packages: Annotated[list[Package], Field(min_length=1, description="Importable names")] = [
        "matplotlib",
        "numpy",
        "ray",
        "tf_keras",
    ]
    limit: Annotated[int, Field(ge=1, description="Most texts a package")] = 1_500
    minimum_words: Annotated[int, Field(ge=1, description="Shorter docstrings are left out")] = 5

    def modality(self) -> Modality:
        """Return `text`."""
        return "text"

    def digest(self, memo: Callable[[str], str]) -> str:
        """Return the packages' versions: the texts come with them."""
        return ", ".join(f"{package} {_version(package)}" for package in self.packages)

    def rows(self) -> Iterator[Row | RejectedRow]:
        """Yield the texts, named `package/module.py:line`."""
        for package in self.packages:
            yield from self._texts(package)

    def _texts(self, package: str) -> Iterator[Row]:
        seen: set[str] = set()
        for name, file in _files(package):
            for line, text in _docstrings(file):
                if len(text.split()) >= self.minimum_words and text not in seen:
                    seen.add(text)
                    yield Row(f"{name}:{line}", text, package)
                    if len(seen) == self.limit:
                        return


def _docstrings(file: Path) -> Iterator[tuple[int, str]]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # a template or a file for another Python: no docstring of this package
        return
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text


def _files(package: str) -> list[tuple[str, Path]]:
    """Return (name, path) of the package's Python files in an order drawn from a hash of their names."""
    found: dict[str, Path] = {}
    spec = PathFinder.find_spec(package)
    if spec is None:
        raise _unusable(package, "is not installed")
    for folder in map(Path, spec.submodule_search_locations or []):
        for file in folder.rglob("*.py"):
            inner = file.relative_to(folder)
            if not NOT_ITS_OWN & set(inner.parts):
                found[f"{package}/{inner.as_posix()}"] = file
    if not found and spec.origin and spec.origin.endswith(".py"):
        found[f"{package}.py"] = Path(spec.origin)
    if not found:
        raise _unusable(package, "has no Python source")
    return sorted(found.items(), key=lambda item: hashlib.sha256(item[0].encode()).digest())


def _version(package: str) -> str:
    if package in sys.stdlib_module_names:
        return "of Python " + ".".join(map(str, sys.version_info[:3]))
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        pass  # the distribution has another name than the package: look it up, which is slower
    for distribution in metadata.packages_distributions().get(package, []):
        return f"of {distribution} {metadata.version(distribution)}"
    raise _unusable(package, "is not installed")


def _unusable(package: str, found: str) -> RequestError:
    return RequestError(
        f"package {package!r}", found, "an installed package with .py files", "install it or name another"
    )
