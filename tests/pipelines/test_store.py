from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.folder import Folder
from pipelines.store import Place, Store
from tests.pipelines.store_contract import ONE, StoreContract, finish


class TestLocalStore(StoreContract):
    @pytest.fixture
    def root(self, tmp_path: Path) -> Folder:
        return Folder.parse(str(tmp_path / "runs"))

    def test_sweeping_deletes_a_record_that_was_being_written(self, place: Place) -> None:
        record = finish(place)
        (place.folder.path / ".tmp-0").write_bytes(b'{"format"')
        place.sweep()
        assert sorted(path.name for path in place.folder.path.iterdir()) == [record.attempt, "record.json"]

    def test_the_log_lies_beside_the_record(self, place: Place) -> None:
        assert place.log_path == place.folder.path / "log.txt"


def test_a_store_that_can_never_be_is_empty(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Store(Folder.parse(str(tmp_path / "file" / "runs")))
    assert list(store.records()) == []
    assert store.place("news", "small", ONE).record() is None
    assert store.place("news", "small", ONE).lease.holder() is None


def test_a_local_store_needs_no_heavy_package(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from cluster.folder import Folder\n"
        "from pipelines.store import Store\n"
        "store = Store(Folder.parse(sys.argv[1]))\n"
        "place = store.place('news', 'small', '1' * 64)\n"
        "with place.lease:\n"
        "    attempt = place.begin()\n"
        "    attempt.folder.write_bytes('x', b'1')\n"
        "    record = attempt.finish('Model', {})\n"
        "assert place.verify(record) == [] and store.latest('news', 'small') == record\n"
        "heavy = {'pyarrow', 'numpy', 'tensorflow', 'ray', 'PIL', 'sklearn', 'tokenizers'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
