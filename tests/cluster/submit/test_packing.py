from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from cluster.errors import RequestError
from cluster.submit.packing import OURS, pack

MB = 2**20


def names(folder: Path) -> set[str]:
    with zipfile.ZipFile(io.BytesIO(pack(folder).data)) as archive:
        return {name for name in archive.namelist() if name.split("/")[0] not in OURS}


def written(path: Path, data: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_our_code_goes_with_a_folder_that_lacks_it(tmp_path: Path) -> None:
    written(tmp_path / "news.yaml")
    with zipfile.ZipFile(io.BytesIO(pack(tmp_path).data)) as archive:
        found = set(archive.namelist())
    assert {"news.yaml", "cluster/session.py", "jobs/fit.py", "pipelines/__main__.py"} <= found
    assert not {name for name in found if "__pycache__" in name or name.startswith("tests")}


@pytest.mark.parametrize("package", OURS)
def test_a_folder_that_happens_to_be_called_as_ours_is_refused(package: str, tmp_path: Path) -> None:
    written(tmp_path / "news.yaml")
    path = written(tmp_path / package / "rows.csv")
    with pytest.raises(RequestError) as refused:
        pack(tmp_path)
    assert str(refused.value) == (
        f"{path}: lies in a folder called '{package}', as a package of Espalier's own is, wanted a working folder "
        f"without one; rename {tmp_path / package}, name it in .rayignore, or choose another --working-dir"
    )
    written(tmp_path / ".rayignore", f"{package}/\n".encode())
    with zipfile.ZipFile(io.BytesIO(pack(tmp_path).data)) as archive:
        assert {f"{name}/{known}" for name, known in OURS.items()} <= set(archive.namelist())
        assert f"{package}/rows.csv" not in archive.namelist()


def test_the_folders_own_code_comes_before_ours(tmp_path: Path) -> None:
    written(tmp_path / "pipelines/__init__.py", b"mine")
    written(tmp_path / "pipelines/pipeline.py")
    with zipfile.ZipFile(io.BytesIO(pack(tmp_path).data)) as archive:
        assert archive.read("pipelines/__init__.py") == b"mine"
        assert "pipelines/__main__.py" not in archive.namelist()


def test_what_the_lists_name_stays_behind(tmp_path: Path) -> None:
    for name in ("keep.csv", "big.bin", "runs/a", "deep/own.txt", "deep/other.txt", ".git/x", ".venv/y"):
        written(tmp_path / name)
    written(tmp_path / ".gitignore", b"runs/\n")
    written(tmp_path / ".rayignore", b"*.bin\n")
    written(tmp_path / "deep/.gitignore", b"own.txt\n")
    assert names(tmp_path) == {"keep.csv", ".gitignore", ".rayignore", "deep/other.txt", "deep/.gitignore"}


def test_the_same_files_make_the_same_package(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", b"one")
    first = pack(tmp_path).name
    os.utime(path, (1, 1))
    assert pack(tmp_path).name == first
    path.write_bytes(b"two")
    assert pack(tmp_path).name != first


def test_a_package_over_the_limit_names_the_largest_files(tmp_path: Path) -> None:
    for number, size in enumerate((3, 1, 2)):
        written(tmp_path / f"data/{number}.bin", os.urandom(size * MB))
    with pytest.raises(RequestError) as refused:
        pack(tmp_path, limit=4 * MB)
    assert str(refused.value).startswith(f"{tmp_path}: makes a package of 6.")
    assert "wanted at most 4.0 MiB; name what the job does not need in .rayignore" in str(refused.value)
    assert "the largest: data/0.bin (3.0 MiB), data/2.bin (2.0 MiB), data/1.bin (1.0 MiB), " in str(refused.value)


def test_a_folder_that_is_far_too_large_is_not_even_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse.bin").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(RequestError, match=r"makes a package of 1,048,5\d\d\.\d MiB, wanted at most 99\.9 MiB"):
        pack(tmp_path)
