"""How rows are dealt to clients, and the data sets that are written of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.data.remote.shards import open_rows, open_texts
from jobs.strategies.federated.division import client_of, divide, nobody_of
from jobs.strategies.federated.partition import Partition
from tests.jobs.data.making import made

LABELS = np.repeat(np.arange(10, dtype=np.int32), 143)
OWNERS = np.repeat(np.arange(7, dtype=np.int32), [800, 300, 200, 70, 50, 9, 1])
KINDS: dict[str, dict[str, Any]] = {"rows": {}, "dirichlet": {"alpha": 0.1}, "column": {}}


def deal(kind: str, clients: int, **fields: Any) -> list[Any]:
    partition = Partition.choose({"kind": kind, **KINDS[kind], **fields})
    return list(partition.deal(LABELS, OWNERS, clients))


def test_every_way_is_tested() -> None:
    assert KINDS.keys() == Partition.members().keys()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clients", [1, 2, 7])
def test_every_row_has_one_owner_and_every_client_a_row(kind: str, clients: int) -> None:
    dealt = deal(kind, clients)
    assert len(dealt) == clients
    assert min(map(len, dealt)) >= 1
    assert sorted(np.concatenate(dealt)) == list(range(len(LABELS)))
    assert all((np.diff(rows) > 0).all() for rows in dealt)
    again = deal(kind, clients)
    assert all((one == other).all() for one, other in zip(dealt, again, strict=True))


@pytest.mark.parametrize("kind", ["rows", "dirichlet"])
def test_clients_have_equally_many_rows_and_the_seed_counts(kind: str) -> None:
    dealt = deal(kind, 7)
    assert {len(rows) for rows in dealt} <= {204, 205}
    assert any((one[:100] != other[:100]).any() for one, other in zip(dealt, deal(kind, 7, seed=1), strict=True))


def largest_share(dealt: list[Any]) -> float:
    """Return the mean over clients of the share of rows that are of a client's commonest class."""
    return float(np.mean([np.bincount(LABELS[rows]).max() / len(rows) for rows in dealt]))


def test_a_small_alpha_skews_labels_and_a_large_one_does_not() -> None:
    """Hsu et al. (2019): α → 0 gives a client one class (here two, as shares run out), α → ∞ all of them."""
    shares = [largest_share(deal("dirichlet", 7, alpha=alpha)) for alpha in (0.1, 10.0, 1e5)]
    assert shares[0] > 0.6
    assert shares[0] > shares[1] > shares[2]
    assert largest_share(deal("rows", 7)) < 0.18
    assert shares[2] < 0.2


def test_an_owner_lies_with_one_client_and_clients_are_as_even_as_owners_allow() -> None:
    dealt = deal("column", 3)
    assert [len(rows) for rows in dealt] == [800, 310, 320]
    homes = [set(OWNERS[rows]) for rows in dealt]
    assert sum(map(len, homes)) == 7
    with pytest.raises(StepError, match="finds 7 owners of rows for 8 clients, wanted an owner for each client"):
        deal("column", 8)


def test_more_clients_than_rows_are_refused() -> None:
    with pytest.raises(StepError, match="has 1430 rows for 1431 clients, wanted a row for each client"):
        deal("rows", 1_431)


def test_a_division_holds_every_row_once_each_client_in_files_of_its_own(pairs: Folder, tmp_path: Path) -> None:
    dataset = Dataset.load(pairs)
    divide(dataset, Partition.choose({"kind": "rows"}), 3, tmp_path)
    whole = open_rows(pairs, "train.arrow")
    texts = open_texts(pairs, "train.text.arrow")
    found: list[tuple[bytes, str, int]] = []
    digests = {dataset.digest}
    for client in range(3):
        mine = Dataset.load(Folder.parse(str(tmp_path / client_of(client))))
        images, words = open_rows(mine.folder, "train.arrow"), open_texts(mine.folder, "train.text.arrow")
        assert mine.rows == {"train": len(images)} == {"train": len(words)}
        assert mine.classes == dataset.classes
        digests.add(mine.digest)
        found += zip(map(bytes, images.x), words.x.to_pylist(), map(int, words.y), strict=True)
    assert sorted(found) == sorted(zip(map(bytes, whole.x), texts.x.to_pylist(), map(int, texts.y), strict=True))
    assert len(digests) == 4
    nobody = Dataset.load(Folder.parse(str(tmp_path / nobody_of())))
    assert nobody.rows == {"train": 0, "validation": 0, "test": 0}
    assert len(open_rows(nobody.folder, "train.arrow")) == 0


def test_a_column_of_the_table_says_whose_rows_are(tmp_path: Path) -> None:
    lines = [f"text {n},{'ab'[n % 2]},{('north', 'south', 'east')[n % 3]}" for n in range(120)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label,hospital", *lines]) + "\n")
    source = {"kind": "table", "path": str(tmp_path / "t.csv"), "text": "text", "client": "hospital"}
    dataset, _ = made(tmp_path / "data", source)
    assert dataset.owners == ["east", "north", "south"]
    (tmp_path / "division").mkdir()
    divide(dataset, Partition.choose({"kind": "column"}), 3, tmp_path / "division")
    homes = []
    for client in range(3):
        texts = open_texts(Folder.parse(str(tmp_path / "division" / client_of(client))), "train.arrow").x.to_pylist()
        homes.append({int(text.split()[1]) % 3 for text in texts})
    assert sorted(homes, key=min) == [{0}, {1}, {2}]


def test_a_row_without_a_client_cannot_be_used(tmp_path: Path) -> None:
    lines = [f"text {n},{'ab'[n % 2]},north" for n in range(120)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label,hospital", *lines, "text,a,"]) + "\n")
    source = {"kind": "table", "path": str(tmp_path / "t.csv"), "text": "text", "client": "hospital"}
    dataset, _ = made(tmp_path / "data", source)
    assert [(row.row, row.reason) for row in dataset.rejected] == [("t.csv row 121", "has no client")]


def test_a_data_set_that_tells_no_owner_is_refused(texts: Folder, tmp_path: Path) -> None:
    with pytest.raises(StepError, match="does not say whose its rows are, wanted owners; set client in its table"):
        divide(Dataset.load(texts), Partition.choose({"kind": "column"}), 2, tmp_path)
