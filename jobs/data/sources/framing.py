"""Reads the framing of TFRecord files without TensorFlow, which takes seconds to import.

A record is its length (8 bytes, little-endian), the masked CRC-32C of the length, the data, and the masked CRC-32C of
the data (tensorflow/core/lib/io/record_writer.h). A record whose data is damaged spoils itself; a damaged length
leaves no way to the next record, so the file is refused.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import IO, Any, Literal

from cluster.errors import RequestError
from jobs.data import files
from jobs.data.rows import LARGEST_FILE, BadRow

LONGEST = LARGEST_FILE + (1 << 20)  # bytes of one record: an image and what is said of it
POLYNOMIAL = 0x82F63B78  # Castagnoli's, reflected
PIECE = 4096  # bytes looked up at once; the table has 256 words a byte
MASK = 0xA282EAD8
ALL = 0xFFFFFFFF

Compression = Literal["gzip"]
Frame = tuple[int, bytes, bytes]  # number from 1, data, checksum


def read_frames(path: str, compression: Compression | None = None) -> Iterator[Frame]:
    """Yield every record, its data not checked yet; RequestError when the way to the next one is lost."""
    number = 0
    with files.open_binary(path) as raw:
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if compression else raw  # type: ignore[assignment]
        while True:
            where = f"{path} row {number + 1}"
            header = _read(stream, 12, path)
            if not header:
                return
            number += 1
            if len(header) < 12 or not _sound(header[:8], header[8:]):
                raise RequestError(where, _no_header(header, number), "a TFRecord file, whole")
            (length,) = struct.unpack("<Q", header[:8])
            if length > LONGEST:
                raise RequestError(where, f"is {length} bytes long", f"at most {LONGEST}")
            body = _read(stream, length + 4, path)
            if len(body) < length + 4:
                raise RequestError(where, f"has {len(body)} of its {length + 4} bytes", "a file that is whole")
            yield number, body[:-4], body[-4:]


def checked(data: bytes, stored: bytes) -> bytes:
    """Return the data of a record; BadRow when its checksum is another than the one stored."""
    if not _sound(data, stored):
        raise BadRow("has another checksum than it was written with")
    return data


def _no_header(header: bytes, number: int) -> str:
    if len(header) < 12:
        return f"has {len(header)} of the 12 bytes of its length"
    kind = "is gzip, and compression is not set" if number == 1 and header[:2] == b"\x1f\x8b" else ""
    return kind or "has a length with another checksum than it was written with"


def _read(stream: IO[bytes], count: int, path: str) -> bytes:
    try:
        return stream.read(count)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise RequestError(path, f"is not whole gzip ({error})", "as compression says") from None


def _sound(data: bytes, stored: bytes) -> bool:
    crc = crc32c(data)
    return stored == struct.pack("<I", ((crc >> 15 | crc << 17) + MASK) & ALL)


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (RFC 3720, appendix B.4) of `data`.

    The checksum is linear: each byte adds a word that depends on its value and its distance from the end alone, so a
    piece is one look-up of all its bytes and one exclusive or.
    """
    import numpy as np

    words, places = _words()
    crc = ALL
    for start in range(0, len(data), PIECE):
        piece = np.frombuffer(data, np.uint8, min(PIECE, len(data) - start), start)
        index = places[PIECE - len(piece) :] + piece
        head = np.frombuffer(struct.pack("<I", crc), np.uint8)[: len(piece)]
        index[:4] = places[PIECE - len(piece) :][:4] + (piece[:4] ^ head)
        crc = int(np.bitwise_xor.reduce(words.take(index))) ^ crc >> 8 * min(4, len(piece))
    return crc ^ ALL


@cache
def _words() -> tuple[Any, Any]:
    """Return the words of every (place, byte) as one `uint32` array, and where in it each place of a piece begins."""
    import numpy as np

    last = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        last = np.where(last & 1, last >> 1 ^ POLYNOMIAL, last >> 1).astype(np.uint32)
    rows = [last]
    for _ in range(PIECE - 1):
        rows.append(rows[0][rows[-1] & 255] ^ rows[-1] >> 8)
    return np.concatenate(rows[::-1]), np.arange(PIECE, dtype=np.int64) * 256
