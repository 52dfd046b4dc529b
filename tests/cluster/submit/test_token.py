from __future__ import annotations

from pathlib import Path

import pytest

from cluster.errors import RequestError
from cluster.submit.token import find_token


def test_the_token_of_the_environment_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("file\n")
    assert find_token({"RAY_AUTH_TOKEN": "own", "RAY_AUTH_TOKEN_PATH": str(path)}) == "own"
    assert find_token({"RAY_AUTH_TOKEN_PATH": str(path)}) == "file"
    assert find_token({"HOME": str(tmp_path)}) == ""


def test_the_file_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / ".ray/auth_token"
    path.parent.mkdir()
    path.write_text("secret")
    path.chmod(0o644)
    assert find_token({"HOME": str(tmp_path)}) == "secret"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as refused:
        find_token({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")})
    assert str(refused.value).startswith(f"RAY_AUTH_TOKEN_PATH {tmp_path}/none: cannot be read (")
