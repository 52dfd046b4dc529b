from __future__ import annotations

import hashlib
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.errors import ClusterError, RequestError
from cluster.folder import Folder


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "local":
        return Folder.parse(str(tmp_path / "root"))
    found: Folder = request.getfixturevalue("s3_root")
    return found


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `tmp_path/tmp` the place for this test's temporary files."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    return place


def test_bytes_come_back_and_a_second_write_replaces_them(folder: Folder) -> None:
    folder.write_bytes("a/b c#1.bin", b"one")
    folder.write_bytes("a/b c#1.bin", b"two")
    assert folder.read_bytes("a/b c#1.bin") == b"two"
    assert folder.child("a").read_bytes("b c#1.bin") == b"two"
    assert folder.sha256("a/b c#1.bin") == hashlib.sha256(b"two").hexdigest()


def test_a_child_with_a_space_is_the_same_folder(folder: Folder) -> None:
    (folder / "a b").write_bytes("x", b"1")
    assert folder.read_bytes("a b/x") == b"1"
    assert (folder / "a b").name == "a b"
    assert (folder / "a b").parent == folder
    assert Folder.parse(str(folder / "a b")) == folder / "a b"


def test_missing_things(folder: Folder) -> None:
    with pytest.raises(FileNotFoundError):
        folder.read_bytes("none")
    with pytest.raises(FileNotFoundError):
        folder.sha256("none")
    assert not folder.exists()
    assert not folder.exists("none")
    assert folder.facts("none") is None
    assert folder.files() == {}
    assert folder.names() == []
    folder.remove("none")
    folder.delete()


def test_files_are_listed_with_sizes_by_relative_name(folder: Folder) -> None:
    folder.write_bytes("b.txt", b"12345")
    folder.write_bytes("a/deep/c.txt", b"1")
    folder.write_bytes(".tmp-x", b"under way")
    files = folder.files()
    assert {name: facts.size for name, facts in files.items()} == {"a/deep/c.txt": 1, "b.txt": 5}
    assert folder.facts("b.txt") == files["b.txt"]
    assert folder.facts("a") is None
    assert folder.names() == ["a", "b.txt"]
    assert folder.exists()
    assert folder.exists("a/deep")
    assert folder.exists("b.txt")


def test_delete_takes_the_whole_tree_and_nothing_else(folder: Folder) -> None:
    folder.write_bytes("keep/x", b"1")
    folder.write_bytes("go/x", b"1")
    folder.write_bytes("go/deep/y", b"1")
    (folder / "go").delete()
    assert list(folder.files()) == ["keep/x"]
    folder.remove("keep/x")
    assert folder.files() == {}


def test_it_survives_pickling(folder: Folder) -> None:
    folder.write_bytes("x", b"1")
    assert pickle.loads(pickle.dumps(folder)).read_bytes("x") == b"1"  # noqa: S301


def test_filling_ends_up_in_the_folder(folder: Folder, cache: Path) -> None:
    with folder.filling() as path:
        (path / "deep").mkdir()
        (path / "deep" / "x").write_bytes(b"1")
    assert list(folder.files()) == ["deep/x"]
    assert list(cache.iterdir()) == []


def test_fetch_gives_the_same_content(folder: Folder, cache: Path) -> None:
    folder.write_bytes("deep/x", b"1")
    path = folder.fetch()
    assert (path / "deep" / "x").read_bytes() == b"1"


def test_a_writable_folder_stays_empty_by_the_check(folder: Folder) -> None:
    folder.check_writable()
    assert folder.files() == {}


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../x", "", ".", "a//b", "a\0b"])
def test_names_never_lead_out(folder: Folder, name: str) -> None:
    with pytest.raises(AssertionError):
        folder.child(name)
    with pytest.raises(AssertionError):
        folder.write_bytes(name, b"")


def test_a_failed_filling_uploads_nothing(s3_root: Folder, cache: Path) -> None:
    def fail(path: Path) -> None:
        (path / "x").write_bytes(b"1")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), s3_root.filling() as path:
        fail(path)
    assert s3_root.files() == {}
    assert list(cache.iterdir()) == []


def test_a_fetched_copy_is_private_reused_and_mended(s3_root: Folder, cache: Path) -> None:
    s3_root.write_bytes("x", b"1")
    s3_root.write_bytes("y", b"2")
    path = s3_root.fetch()
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700
    before = (path / "x").stat().st_ino
    assert s3_root.fetch() == path
    assert (path / "x").stat().st_ino == before
    (path / "y").unlink()  # as a cleaner of old temporary files does
    assert (s3_root.fetch() / "y").read_bytes() == b"2"
    s3_root.write_bytes("y", b"longer")
    assert (s3_root.fetch() / "y").read_bytes() == b"longer"
    with pytest.raises(FileNotFoundError):
        s3_root.child("none").fetch()


def test_a_cache_of_another_kind_is_refused(s3_root: Folder, cache: Path, tmp_path: Path) -> None:
    s3_root.write_bytes("x", b"1")
    (tmp_path / "theirs").mkdir()
    link = cache / f"espalier-{os.getuid()}"
    link.symlink_to(tmp_path / "theirs")
    with pytest.raises(ClusterError) as error:
        s3_root.fetch()
    assert str(error.value) == f"{link}: belongs to another user; set TMPDIR to a folder of your own"


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\n"
        "from cluster.folder import Folder\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "Folder.parse(sys.argv[1]).write_bytes('x', b'2' * 5000)\n"
    )
    (tmp_path / "x").write_bytes(b"1")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, capture_output=True, text=True)
    assert "OSError: [Errno 27] File too large" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"1"


def test_links_count_as_their_files_and_never_lead_out_or_round(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "far").write_bytes(b"far")
    root = tmp_path / "root"
    (root / "cats").mkdir(parents=True)
    (root / "cats" / "1").write_bytes(b"1")
    (root / "cats" / "up").symlink_to(root)
    (root / "cats" / "2").symlink_to(tmp_path / "outside" / "far")
    (root / "felines").symlink_to("cats")
    (root / "away").symlink_to(tmp_path / "outside")
    (root / "broken").symlink_to("nowhere")
    assert {name: facts.size for name, facts in Folder.parse(str(root)).files().items()} == {
        "cats/1": 1,
        "cats/2": 3,
        "felines/1": 1,
        "felines/2": 3,
    }


def test_below_a_file_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = Folder.parse(str(tmp_path / "file"))
    assert folder.files() == {}
    assert folder.names() == []
    assert not folder.exists("x")
    with pytest.raises(FileNotFoundError):
        folder.read_bytes("x")


def test_deleting_a_link_leaves_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x").write_bytes(b"1")
    (tmp_path / "link").symlink_to("real")
    Folder.parse(str(tmp_path / "link")).delete()
    assert [path.name for path in tmp_path.iterdir()] == ["real"]
    assert (tmp_path / "real" / "x").exists()


def test_sweep_deletes_writes_that_were_killed(tmp_path: Path) -> None:
    (tmp_path / ".tmp-x").write_bytes(b"half")
    (tmp_path / "x").write_bytes(b"whole")
    folder = Folder.parse(str(tmp_path))
    folder.sweep(older_than=60)
    assert (tmp_path / ".tmp-x").exists()
    folder.sweep()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_paths_and_file_uris_are_absolute_local_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert Folder.parse("runs").path == tmp_path / "runs"
    assert Folder.parse("~/runs").path == Path("/home/me/runs")
    assert Folder.parse("file:///a/b%20c").path == Path("/a/b c")
    assert Folder.parse("file:///a").is_local
    assert str(Folder.parse("/a/b/")) == "/a/b"
    assert Folder.parse("/").parent == Folder.parse("/")


def test_uris_keep_their_options() -> None:
    folder = Folder.parse("s3://bucket/a/?region=eu-west-1")
    assert str(folder / "b") == "s3://bucket/a/b?region=eu-west-1"
    assert not folder.is_local
    assert str(Folder.parse("gs://bucket").child("a", "b")) == "gs://bucket/a/b"
    with pytest.raises(AssertionError, match="has no local path"):
        _ = folder.path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "ftp://host/x",
            "ftp://host/x: has the unknown scheme ftp, wanted one of file, s3, gs, gcs, abfs, abfss, hdfs",
        ),
        ("s3:///x", "s3:///x: has no bucket, wanted s3://bucket/path"),
        ("s3://bucket/a#b", "s3://bucket/a#b: has a #, wanted s3://bucket/path"),
        ("s3://bucket/a/../b", "s3://bucket/a/../b: has . or .. in its path, wanted s3://bucket/path"),
        ("s3://bucket/a/%2e%2e/b", "s3://bucket/a/%2e%2e/b: has . or .. in its path, wanted s3://bucket/path"),
        ("s3://me:pass@bucket/a", "s3://…@bucket/a: holds a password; give credentials through the environment"),
        ("file://a/b", "file://a/b: is not an absolute path, wanted file:///absolute/path"),
        ("", "folder: '', wanted a path, or a URI such as s3://bucket/folder"),
        ("s3://[", "folder: is not a URI (Invalid IPv6 URL), wanted a path, or a URI such as s3://bucket/folder"),
    ],
)
def test_what_is_no_folder_is_refused(text: str, message: str) -> None:
    with pytest.raises(RequestError) as error:
        Folder.parse(text)
    assert str(error.value) == message


def test_a_local_folder_below_a_file_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = Folder.parse(str(tmp_path / "file" / "runs"))
    with pytest.raises(RequestError) as error:
        folder.check_writable()
    assert str(error.value) == f"{folder}: is not writable (Not a directory); name a folder you may write to"


def test_a_bucket_that_is_missing_is_not_writable(s3_address: str) -> None:
    folder = Folder.parse(f"s3://nobody/runs?endpoint_override={s3_address}&scheme=http")
    with pytest.raises(RequestError) as error:
        folder.check_writable()
    why = "The specified bucket does not exist"
    assert str(error.value) == f"{folder}: is not writable ({why}); name a folder you may write to"
    with pytest.raises(ClusterError) as trouble:
        folder.write_bytes("x", b"1")
    assert str(trouble.value) == (
        f"{folder}: cannot be used ({why}); check the address, the credentials and the network"
    )


def test_a_local_folder_needs_no_pyarrow(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from cluster.folder import Folder\n"
        "folder = Folder.parse(sys.argv[1])\n"
        "folder.check_writable(); folder.write_bytes('x', b'1'); folder.files(); folder.fetch()\n"
        "Folder.parse('s3://bucket/x') / 'y'\n"
        "sys.exit('pyarrow' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
