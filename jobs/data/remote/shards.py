"""Shards wherever they lie: local ones are mapped, remote ones are read while they are fetched.

The rows, and their order, are the same either way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cluster.folder import Folder
from jobs.data.remote.file import Places, RemoteFile
from jobs.data.shards import Rows, Texts, batch_in, read, read_texts, rows_in, texts_in

HEAD, FOOT = 64 << 10, 64 << 10  # bytes in which an Arrow file says what lies where; ours say it in one


class StreamedRows:
    """Numeric rows of a shard that is still being fetched; as Rows, but for `x`, which waits for all of it."""

    def __init__(self, file: RemoteFile, rows: Rows) -> None:
        self.file, self._rows, self.y = file, rows, rows.y
        self._start, self._width = rows.x.ctypes.data - file.content.ctypes.data, rows.x[:1].nbytes

    def __len__(self) -> int:
        return len(self.y)

    @property
    def x(self) -> NDArray[Any]:
        """All rows `[rows, …]`, once they are here."""
        self._arrive(np.arange(len(self)))
        return self._rows.x

    def gather(self, indices: Places) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Return copies of the rows at `indices`, contiguous and in that order."""
        self._arrive(indices)
        return self._rows.gather(indices)

    def _arrive(self, indices: Places) -> None:
        starts = self._start + np.asarray(indices, np.int64) * self._width
        self.file.need(starts, starts + self._width)


class StreamedTexts:
    """Texts of a shard that is still being fetched; as Texts, but for `x`, which waits for all of it."""

    def __init__(self, file: RemoteFile, texts: Texts) -> None:
        self.file, self._texts, self.y = file, texts, texts.y
        _, ends, values = texts.x.buffers()
        _need(file, ends)
        self._ends = np.frombuffer(ends, np.int64)[: len(texts) + 1]
        self._start = 0 if values is None else values.address - file.content.ctypes.data

    def __len__(self) -> int:
        return len(self.y)

    def __iter__(self) -> Iterator[str]:
        for batch in self.batches(1_000):
            yield from batch

    @property
    def x(self) -> Any:
        """All texts, once they are here: pyarrow.LargeStringArray."""
        self._arrive(np.arange(len(self)))
        return self._texts.x

    def gather(self, indices: Places) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Return the texts at `indices` in that order, as objects, and their labels."""
        self._arrive(indices)
        return self._texts.gather(indices)

    def batches(self, rows: int) -> Iterator[list[str]]:
        """Yield the texts in order, `rows` at a time."""
        for start in range(0, len(self), rows):
            stop = min(start + rows, len(self))
            self._arrive(np.arange(start, stop))
            yield self._texts.x.slice(start, stop - start).to_pylist()

    def _arrive(self, indices: Places) -> None:
        self.file.need(self._start + self._ends[indices], self._start + self._ends[np.asarray(indices) + 1])


def open_rows(folder: Folder, name: str, ahead: bool = True) -> Rows | StreamedRows:
    """Open a numeric shard where it lies; `ahead` fetches all of a remote one in the background."""
    if folder.is_local:
        return read(folder.path / name)
    file = RemoteFile(folder, name)
    rows = StreamedRows(file, rows_in(_batch(file), file.name))
    if ahead:
        file.go_ahead()
    return rows


def open_texts(folder: Folder, name: str, ahead: bool = True) -> Texts | StreamedTexts:
    """Open a shard of texts where it lies; `ahead` fetches all of a remote one in the background."""
    if folder.is_local:
        return read_texts(folder.path / name)
    file = RemoteFile(folder, name)
    texts = StreamedTexts(file, texts_in(_batch(file)))
    if ahead:
        file.go_ahead()
    return texts


def _batch(file: RemoteFile) -> Any:
    """Return the record batch of a shard, of which only the labels are sure to be here."""
    file.need(np.array([0, max(0, file.size - FOOT)]), np.array([min(HEAD, file.size), file.size]))
    batch = batch_in(pa.BufferReader(pa.py_buffer(file.content)), file.name)
    _need(file, batch.column(1).buffers()[1])
    return batch


def _need(file: RemoteFile, buffer: Any) -> None:
    if buffer is not None and buffer.size:
        start = buffer.address - file.content.ctypes.data
        file.need(np.array([start]), np.array([start + buffer.size]))
