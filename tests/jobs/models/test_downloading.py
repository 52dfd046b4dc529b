"""What comes from a web address, and what is refused of it: served by a server of the test's own."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from cluster.errors import RequestError
from jobs.models.saved_model.downloading import download

ELSEWHERE = "http://modules.example/elsewhere"
PLAIN = tarfile.REGTYPE


def archive(name: str, content: bytes = b"x", kind: bytes = PLAIN, claimed: int | None = None) -> bytes:
    """Return a gzipped tar of two files, the first of them as asked; `claimed` is the size its header says."""
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, len(content) if kind == PLAIN else 0, "/etc/hostname"
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as made:
        made.addfile(member, io.BytesIO(content))
        made.addfile(tarfile.TarInfo("last"))
    packed = raw.getvalue()
    if claimed is not None:
        member.size = claimed
        packed = member.tobuf(tarfile.GNU_FORMAT) + packed[512:]
    return gzip.compress(packed)


SERVED = {
    "good": archive("./folder/file", b"content"),
    "outside": archive("../outside"),
    "rooted": archive("/tmp/outside"),
    "link": archive("variables", kind=tarfile.SYMTYPE),
    "bomb": archive("file", claimed=17 << 30),
    "name": archive("x" * (2 << 20)),
    "cut": archive("file", bytes(range(256)) * 100)[:-200],
    "page": b"<html>no module</html>",
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path, _, query = self.path.removeprefix("/").partition("?")
        found = SERVED.get(path)
        if path == "moved":
            self.send_response(302)
            self.send_header("Location", ELSEWHERE)
        elif found is None or query != "tf-hub-format=compressed":
            self.send_response(404)
        else:
            self.send_response(200)
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_files_and_folders_are_unpacked(address: str, tmp_path: Path) -> None:
    download(f"{address}/good", tmp_path / "module")
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert found == ["module", "module/folder", "module/folder/file", "module/last"]
    assert (tmp_path / "module/folder/file").read_bytes() == b"content"


FAILED = "could not be downloaded ({}); mend the handle, or download the module elsewhere and name its folder"
REFUSED = {
    "outside": "holds '../outside', wanted plain files and folders within the archive",
    "rooted": "holds '/tmp/outside', wanted plain files and folders within the archive",
    "link": "holds 'variables', wanted plain files and folders within the archive",
    "bomb": "unpacks to more than 10000 files or 17179869184 bytes, wanted a smaller module",
    "name": FAILED.format("more than 1048576 bytes of it belong to no file"),
    "cut": FAILED.format("Compressed file ended before the end-of-stream marker was reached"),
    "page": FAILED.format("Not a gzipped file (b'<h')"),
    "nothing": FAILED.format("HTTP Error 404: Not Found"),
    "moved": f"leads to {ELSEWHERE}, which is not encrypted: what comes from there can be exchanged on its way, "
    "wanted https://",
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_is_no_module_or_too_much_is_refused(case: str, address: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        download(f"{address}/{case}", tmp_path / "module")
    assert str(caught.value) == f"{address}/{case}: {REFUSED[case]}"
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 1000] == []


def test_an_address_that_is_not_encrypted_is_never_asked(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        download(ELSEWHERE, tmp_path)
    assert str(caught.value) == (
        f"{ELSEWHERE}: is not encrypted: what comes from there can be exchanged on its way, wanted https://"
    )
