import asyncio
from collections.abc import AsyncIterator

import pytest

from jobs.data.rows import Pair
from jobs.serving.http import MOST_BYTES, Refused, items_of, read_body


async def chunks(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


def refused(content_type: str, body: bytes) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        items_of(content_type, body)
    return caught.value.status, caught.value.reason


def test_a_body_is_cut_at_the_cap_whatever_its_length_says() -> None:
    assert asyncio.run(read_body({}, chunks(3, 10))) == b"x" * 30
    with pytest.raises(Refused, match="413"):
        asyncio.run(read_body({"content-length": str(MOST_BYTES + 1)}, chunks(1, 1)))
    with pytest.raises(Refused, match="413"):
        asyncio.run(read_body({"content-length": "5"}, chunks(1_000_000, 1 << 20)))  # ends long before a million


def test_texts_and_images_are_taken() -> None:
    assert items_of("application/json; charset=utf-8", b'{"text": "a \xc3\xa9"}') == ["a é"]
    assert items_of("application/json", b'{"texts": ["a", "b"]}') == ["a", "b"]
    assert items_of("image/png", b"\x89PNG") == [b"\x89PNG"]
    assert items_of("application/json", b'{"text": "a", "image": "iVBORw=="}') == [Pair(b"\x89PNG", "a")]


def test_other_bodies_are_refused_with_the_reason() -> None:
    assert refused("text/html", b"") == (415, "text/html is neither application/json nor an image")
    assert refused("application/json", b"[" * 100_000) == (400, "the body is not JSON")
    assert refused("application/json", b"\xff\xfe") == (400, "the body is not JSON")
    for body in (b"{}", b"[]", b'{"text": "a", "other": 1}', b'{"image": "a"}'):
        assert refused("application/json", body) == (
            422,
            'the body is none of {"text": …}, {"texts": […]} and {"image": …, "text": …}',
        )
    for body in (b'{"text": 1}', b'{"texts": []}', b'{"texts": ["a", 2]}', b'{"texts": "a"}'):
        assert refused("application/json", body) == (422, "a text is not a string, or there is none")
    for body in (b'{"text": 1, "image": "aa=="}', b'{"text": "a", "image": ["aa=="]}'):
        assert refused("application/json", body) == (422, "the image or the text is not a string")
    for image in (b"a", b"a===", b"a\\u00e9==", b"data:image/png;base64,iVBORw=="):
        body = b'{"text": "a", "image": "%s"}' % image
        assert refused("application/json", body) == (422, "the image is not in base64")
    assert refused("multipart/form-data; boundary=x", b"--x--")[0] == 415
    assert refused("application/json", b'{"texts": [%s]}' % b",".join([b'"a"'] * 65))[0] == 422
