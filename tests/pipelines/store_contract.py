"""What every store does: run over a local root in test_store.py and over S3 in test_store_s3.py."""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import datetime

import pytest

from cluster.errors import RequestError, StepError
from cluster.folder import Folder
from pipelines.store import Attempt, Place, Record, Store

ONE, TWO = "1" * 64, "2" * 64
IDENTITY = {"job": "train", "version": 1, "definition": {"epochs": 4, "l2": 0.1}, "data": ""}


def fill(attempt: Attempt, data: bytes = b"weights") -> Attempt:
    with attempt.folder.filling() as path:
        (path / "deep").mkdir()
        (path / "deep" / "model.tflite").write_bytes(data)
        (path / "artifact.json").write_bytes(b"{}")
    return attempt


def finish(place: Place, data: bytes = b"weights") -> Record:
    return fill(place.begin(), data).finish("Model", IDENTITY, {"espalier": "1"}, "abc")


class StoreContract:
    @pytest.fixture
    def root(self) -> Folder:
        raise NotImplementedError

    @pytest.fixture
    def store(self, root: Folder) -> Store:
        return Store(root)

    @pytest.fixture
    def place(self, store: Store) -> Place:
        return store.place("news", "small", ONE)

    def test_nothing_is_there_before_the_first_attempt(self, store: Store, place: Place) -> None:
        assert place.record() is None
        assert list(store.records()) == []
        assert store.latest("news", "small") is None
        assert not store.root.exists()

    def test_a_finished_attempt_is_found_by_another_store(self, root: Folder, place: Place) -> None:
        record = finish(place)
        again = Store(root).place("news", "small", ONE)
        assert again.record() == record
        assert str(again.folder).split("?")[0].endswith("/news/small-111111111111")
        assert again.artifact(record).read_bytes("deep/model.tflite") == b"weights"
        assert (record.pipeline, record.step, record.fingerprint, record.type) == ("news", "small", ONE, "Model")
        assert record.identity == IDENTITY
        assert {name: file.model_dump() for name, file in record.manifest.items()} == {
            "artifact.json": {"sha256": hashlib.sha256(b"{}").hexdigest(), "size": 2},
            "deep/model.tflite": {"sha256": hashlib.sha256(b"weights").hexdigest(), "size": 7},
        }
        assert (record.made.versions, record.made.commit) == ({"espalier": "1"}, "abc")
        assert datetime.fromisoformat(record.made.started).tzinfo is not None
        assert again.verify(record) == []

    def test_an_unfinished_attempt_is_no_result(self, place: Place) -> None:
        attempt = fill(place.begin())
        assert place.record() is None
        attempt.discard()
        assert place.attempts() == []

    def test_a_truncated_file_is_named(self, place: Place) -> None:
        record = finish(place, b"x" * 345)
        place.artifact(record).write_bytes("deep/model.tflite", b"x" * 12)
        assert place.verify(record) == ["deep/model.tflite is 12 bytes, wanted 345"]

    def test_a_changed_byte_is_found_also_after_the_file_was_verified(self, place: Place) -> None:
        record = finish(place)
        assert place.verify(record) == []
        place.artifact(record).write_bytes("deep/model.tflite", b"Weights")
        found, wanted = (hashlib.sha256(data).hexdigest() for data in (b"Weights", b"weights"))
        assert place.verify(record) == [f"deep/model.tflite has SHA-256 {found}, wanted {wanted}"]

    def test_a_missing_file_and_a_missing_attempt_are_found(self, place: Place) -> None:
        record = finish(place)
        place.artifact(record).remove("artifact.json")
        assert place.verify(record) == ["artifact.json is missing"]
        place.artifact(record).delete()
        assert place.verify(record) == ["artifact.json is missing", "deep/model.tflite is missing"]

    def test_attempts_never_share_a_folder(self, place: Place) -> None:
        first, second = fill(place.begin(), b"first"), fill(place.begin(), b"second")
        record = first.finish("Model", IDENTITY)
        assert first.id != second.id
        assert place.artifact(record).read_bytes("deep/model.tflite") == b"first"

    def test_finishing_deletes_what_is_needless(self, place: Place) -> None:
        fill(place.begin())
        place.checkpoints.write_bytes("epoch-1", b"1")
        record = finish(place)
        assert place.attempts() == [record.attempt]
        assert not place.checkpoints.exists()
        again = finish(place)
        assert place.attempts() == [again.attempt]

    def test_sweeping_deletes_dead_attempts_and_keeps_the_rest(self, place: Place) -> None:
        fill(place.begin())
        place.checkpoints.write_bytes("epoch-1", b"1")
        place.sweep()
        assert place.attempts() == []
        assert place.checkpoints.read_bytes("epoch-1") == b"1"
        record = finish(place)
        fill(place.begin())
        place.sweep()
        assert place.attempts() == [record.attempt]
        assert place.verify(record) == []

    def test_the_newest_record_of_a_step_under_any_fingerprint(self, store: Store, place: Place) -> None:
        finish(place)
        second = finish(store.place("news", "small", TWO))
        finish(store.place("news", "small-er", ONE))
        finish(store.place("other", "small", ONE))
        assert store.latest("news", "small") == second
        assert store.latest("news", "none") is None

    def test_all_places_with_their_records(self, store: Store, place: Place) -> None:
        record = finish(place)
        fill(store.place("news", "teacher-1", TWO).begin())
        store.root.write_bytes("notes.txt", b"mine")
        store.root.write_bytes("notes", b"mine")
        store.root.write_bytes("news/notes/x", b"mine")
        found = [(where.pipeline, where.step, where.fingerprint, what) for where, what in store.records()]
        assert found == [("news", "small", ONE[:12], record), ("news", "teacher-1", TWO[:12], None)]

    @pytest.mark.parametrize(
        ("damage", "why"),
        [
            (b"", "Expecting value: line 1 column 1 (char 0)"),
            (b'{"format": 1, "pipel', "Unterminated string starting at: line 1 column 15 (char 14)"),
            (b'{"format": 1}', "pipeline: Field required"),
            (b"[]", ": Input should be an object"),
            (b"\xff\xfe\xff", "'utf-16-le' codec can't decode byte 0xff in position 2: truncated data"),
        ],
    )
    def test_a_damaged_record_is_no_record(
        self, place: Place, caplog: pytest.LogCaptureFixture, damage: bytes, why: str
    ) -> None:
        finish(place)
        place.folder.write_bytes("record.json", damage)
        with caplog.at_level(logging.WARNING):
            assert place.record() is None
        assert caplog.messages == [f"{place.folder}/record.json is damaged and does not count: {why}"]

    @pytest.mark.parametrize(("field", "value"), [("attempt", "../../other"), ("manifest", "../x"), ("manifest", "/x")])
    def test_a_record_that_leads_out_of_its_place_is_damaged(self, place: Place, field: str, value: str) -> None:
        finish(place)
        document = json.loads(place.folder.read_bytes("record.json"))
        document[field] = value if field == "attempt" else {value: {"sha256": "", "size": 1}}
        place.folder.write_bytes("record.json", json.dumps(document).encode())
        assert place.record() is None

    def test_a_newer_format_is_refused(self, place: Place) -> None:
        place.folder.write_bytes("record.json", b'{"format": 2, "something": "new"}')
        with pytest.raises(RequestError) as error:
            place.record()
        assert str(error.value) == (
            f"{place.folder}/record.json: has format 2, wanted 1 or older; use a newer espalier"
        )

    def test_a_fingerprint_that_begins_alike_is_another(self, store: Store, place: Place) -> None:
        finish(place)
        assert store.place("news", "small", "1" * 12 + "2" * 52).record() is None

    def test_names_lead_nowhere_else(self, store: Store) -> None:
        for pipeline, step, fingerprint in [("../x", "a", ONE), ("a", "b/c", ONE), ("a", ".", ONE), ("a", "b", "../x")]:
            with pytest.raises(AssertionError):
                store.place(pipeline, step, fingerprint)

    def test_a_run_whose_lease_was_taken_over_does_not_count(self, root: Folder, place: Place) -> None:
        name = "lease" if root.is_local else "lease.json"
        with place.lease:
            attempt = fill(place.begin())
            place.folder.remove(name)
            other = Store(root).place("news", "small", ONE)
            with other.lease:
                mine = fill(other.begin(), b"mine")
                with pytest.raises(StepError, match=r"^small: lost its lease to process \d+ on .*; run again to reuse"):
                    attempt.finish("Model", IDENTITY)
                record = mine.finish("Model", IDENTITY)
        assert place.record() == record
        assert place.artifact(record).read_bytes("deep/model.tflite") == b"mine"

    def test_the_lease_goes_from_one_to_the_next(self, root: Folder, place: Place) -> None:
        other = Store(root).place("news", "small", ONE)
        assert place.lease.holder() is None
        with place.lease:
            assert (place.lease.held, other.lease.held) == (True, False)
            assert other.lease.holder() == place.lease.holder()
        assert (place.lease.held, other.lease.holder()) == (False, None)
        with other.lease:
            assert (place.lease.held, other.lease.held) == (False, True)
        assert place.folder.names() == []
