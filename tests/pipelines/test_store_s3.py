from __future__ import annotations

from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.folder import Folder
from pipelines.store import Place, Store
from tests.pipelines.store_contract import ONE, StoreContract


class TestS3Store(StoreContract):
    @pytest.fixture
    def root(self, s3_root: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        return s3_root

    def test_the_log_lies_in_the_users_cache(self, place: Place, tmp_path: Path) -> None:
        assert place.log_path.is_relative_to(tmp_path / "cache" / "espalier" / "stores")
        assert place.log_path.parts[-3:] == ("news", "small-111111111111", "log.txt")


def test_a_store_that_cannot_be_reached_says_so(s3_address: str) -> None:
    store = Store(Folder.parse(f"s3://nobody/runs?endpoint_override={s3_address}&scheme=http"))
    with pytest.raises(ClusterError, match=r"cannot be used .*; check the address, the credentials and the network"):
        store.place("news", "small", ONE).begin().folder.write_bytes("x", b"1")
