"""What a replica lets in: keys, sizes, times, and how many at once. It asks the application itself, without Serve."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.runtime.classifier import golden_rows
from jobs.serving.answering.app import App
from jobs.serving.keys import HashedKey, Key, hashed, hashed_key, new_key, read_keys
from jobs.serving.limits import Limits
from tests.jobs.serving.conftest import app_of, ask, asked, asking

pytestmark = pytest.mark.training
LIMITS = Limits(body_bytes=200_000, seconds=0.5, requests=3)
T = TypeVar("T")


@pytest.fixture(scope="module")
def app(model: Folder) -> App:
    return app_of(asked(model), limits=LIMITS)


@pytest.fixture(scope="module")
def row(model: Folder) -> bytes:
    found = golden_rows(model.path)[0]
    assert isinstance(found, bytes)
    return found


def grown(act: Callable[[], T]) -> tuple[T, int]:
    """Return what `act` returns, and by how many bytes the process was larger meanwhile than before."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = status_kb("VmRSS")
    answer = act()
    return answer, (status_kb("VmHWM") - before) * 1024


def status_kb(name: str) -> int:
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if name in line)


def test_a_request_needs_a_key_that_is_known(model: Folder, row: bytes) -> None:
    (one, kept), (_, other) = new_key("one"), new_key("two")
    app = app_of(asked(model), keys=[other, kept])
    for path in ("/v1/classify", "/v2/models/digits/infer"):
        for given in ({}, {"authorization": f"Bearer {one}x"}, {"authorization": one}, {"authorization": "Bearer "}):
            answer = ask(app, "POST", path, row, "image/png", headers=given)
            assert (answer.status, answer.headers[b"www-authenticate"]) == (401, b"Bearer")
    right = {"authorization": f"bearer {one}"}
    assert ask(app, "POST", "/v1/classify", row, "image/png", headers=right).status == 200
    assert ask(app, "POST", "/v1/classify", row, "image/png", headers=right, peer="10.1.2.3").status == 200
    for path, status in {"/v2/health/live": 200, "/health": 200, "/docs": 200, "/v1/model": 401, "/v2": 401}.items():
        assert ask(app, "GET", path).status == status
    for shown in ("/docs", "/openapi.json", "/health"):
        assert kept.sha256.encode() not in ask(app, "GET", shown).body


def test_each_key_has_its_own_rate(model: Folder, row: bytes) -> None:
    slow = HashedKey(name="slow", sha256=hashed("s" * 24), requests_per_second=0.5)
    app = app_of(asked(model), keys=[slow, HashedKey(name="quick", sha256=hashed("q" * 24))])
    found = [
        ask(app, "POST", "/v1/classify", row, "image/png", headers={"authorization": f"Bearer {letter * 24}"})
        for letter in "ssqq"
    ]
    assert [answer.status for answer in found] == [200, 429, 200, 200]
    assert found[1].headers[b"retry-after"] == b"2"
    assert found[1].json == {"error": "the key's rate is 0.5 requests a second"}


def test_without_keys_only_this_machine_is_answered(app: App, row: bytes) -> None:
    for peer, status in {"127.0.0.1": 200, "::1": 200, "::ffff:127.0.0.1": 200, "10.0.0.1": 403, "x": 403}.items():
        assert ask(app, "POST", "/v1/classify", row, "image/png", peer=peer).status == status


def test_a_body_is_cut_at_the_cap_whatever_its_length_says(app: App) -> None:
    over = {"error": "the body is over 200000 bytes"}
    stated = {"content-length": str(65 << 20)}
    answer = ask(app, "POST", "/v1/classify", headers=stated, kind="image/png", pieces=[])
    assert (answer.status, answer.json, answer.headers[b"connection"]) == (413, over, b"close")
    body, stated = b"x" * (60 << 20), {"content-length": str(60 << 20)}
    answer, size = grown(lambda: ask(app, "POST", "/v1/classify", body, "image/png", headers=stated))
    assert (answer.status, answer.json, size < 20 << 20) == (413, over, True)
    endless = [b"x" * (1 << 16)] * 10_000  # 655 MB, were it read
    lying = {"content-length": "5"}
    answer, size = grown(lambda: ask(app, "POST", "/v1/classify", headers=lying, kind="image/png", pieces=endless))
    assert (answer.status, answer.json) == (413, over)
    assert size < 20 << 20


def test_a_compressed_body_may_not_grow_over_the_cap(app: App, row: bytes) -> None:
    for body, encoding in ((gzip.compress(row), "gzip"), (zlib.compress(row), "deflate")):
        answer = ask(app, "POST", "/v1/classify", body, "image/png", headers={"content-encoding": encoding})
        assert (answer.status, len(answer.json["predictions"])) == (200, 1)
    bomb = gzip.compress(b"\0" * (100 << 20))
    assert len(bomb) < LIMITS.body_bytes
    packed = {"content-encoding": "gzip"}
    answer, size = grown(lambda: ask(app, "POST", "/v1/classify", bomb, "image/png", headers=packed))
    assert answer.status == 413
    assert size < 20 << 20
    for body, encoding, status in ((b"x", "gzip", 400), (gzip.compress(row)[:-9], "gzip", 400), (row, "br", 415)):
        answer = ask(app, "POST", "/v1/classify", body, "image/png", headers={"content-encoding": encoding})
        assert answer.status == status


def test_a_body_that_does_not_come_is_given_up(app: App) -> None:
    answer = ask(app, "POST", "/v1/classify", kind="image/png", pieces=[b"some"])
    assert (answer.status, answer.json) == (408, {"error": "the request took longer than 0.5 s"})
    assert app.guard.in_hand == 0


def test_more_requests_than_can_be_in_hand_are_told_to_come_again(app: App, row: bytes) -> None:
    async def together() -> list[tuple[int, bytes | None]]:
        waiting = [asking(app, "POST", "/v1/classify", kind="image/png", pieces=[b"some"]) for _ in range(5)]
        found = await asyncio.gather(*waiting)
        return [(answer.status, answer.headers.get(b"retry-after")) for answer in found]

    assert sorted(asyncio.run(together())) == [(408, None)] * 3 + [(429, b"1")] * 2
    assert ask(app, "POST", "/v1/classify", row, "image/png").status == 200


def test_texts_of_any_kind_have_an_answer_that_is_no_failure(app: App) -> None:
    texts = ["", " ", "\0", "\u202eabc", "\U0001f600", "a" * 100_001, "\ud800"]
    for text in texts:
        body = json.dumps({"text": text}).encode()
        assert ask(app, "POST", "/v1/classify", body, "application/json").status == 422
    assert ask(app, "POST", "/v1/classify", b'{"text": "\xff"}', "application/json").status == 400


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def odd_images() -> dict[str, tuple[bytes, int]]:
    """Return images of kinds that are rarely thought of, and the status each gets."""
    grey = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
    colour = grey.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [grey.convert("P"), Image.eval(grey, lambda value: 255 - value).convert("P")]
    return {
        "truncated PNG": (encoded(grey, "PNG")[:-30], 422),
        "truncated JPEG": (encoded(colour, "JPEG")[:-40], 422),
        "animated GIF": (encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), 422),
        "empty": (b"", 422),
        "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422),
        "CMYK": (encoded(colour.convert("CMYK"), "JPEG"), 200),
        "16 bits": (encoded(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000), "PNG"), 200),
        "alpha": (encoded(colour.convert("RGBA"), "PNG"), 200),
        "1x1": (encoded(colour.resize((1, 1)), "PNG"), 200),
        "turned": (encoded(colour, "JPEG", exif=exif), 200),
    }


def test_images_of_any_kind_have_an_answer_that_is_no_failure(app: App) -> None:
    for name, (content, status) in odd_images().items():
        assert (name, ask(app, "POST", "/v1/classify", content, "image/png").status) == (name, status)


def test_an_image_of_too_many_pixels_is_refused_by_its_header(app: App) -> None:
    huge = encoded(Image.new("1", (12_000, 12_000)), "PNG")
    assert len(huge) < LIMITS.body_bytes
    answer, size = grown(lambda: ask(app, "POST", "/v1/classify", huge, "image/png"))
    assert (answer.status, answer.json["error"]) == (422, "is 12000x12000 pixels, more than 16777216 in all")
    assert size < 50 << 20


def test_what_is_kept_of_a_key_is_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, kept = new_key("shop")
    file = tmp_path / "keys"
    file.write_text(f"# ours\n{kept.name} {kept.sha256}\nother {'0' * 64} 2.5\n")
    assert read_keys(file) == [kept, HashedKey(name="other", sha256="0" * 64, requests_per_second=2.5)]
    monkeypatch.setenv("SHOP_KEY", secret)
    key = Key.model_validate({"name": "shop", "secret": "${env.SHOP_KEY}"})
    assert hashed_key(key) == kept
    assert secret not in repr(key) + key.model_dump_json() + repr(kept)
    monkeypatch.setenv("SHOP_KEY", "short")
    with pytest.raises(RequestError, match=r"^key shop: has 5 characters, wanted at least 24$"):
        hashed_key(key)
    monkeypatch.delenv("SHOP_KEY")
    with pytest.raises(RequestError, match=r"^key shop: SHOP_KEY is not set in the environment$"):
        hashed_key(key)
    file.write_text(f"shop {secret}\n")
    with pytest.raises(RequestError) as caught:
        read_keys(file)
    assert secret not in str(caught.value)
