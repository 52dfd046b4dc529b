"""Which bodies `/v1/classify` takes, and what is said of the others."""

from __future__ import annotations

import pytest

from jobs.data.rows import Pair
from jobs.serving.answering.classify import WANTED, question_of
from jobs.serving.limits import Limits
from jobs.serving.refused import Refused

LIMITS = Limits()


def refused(content_type: str, body: bytes) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        question_of(content_type, body, LIMITS)
    return caught.value.status, caught.value.reason


def test_texts_and_images_are_taken() -> None:
    assert question_of("application/json; charset=utf-8", b'{"text": "a \xc3\xa9"}', LIMITS).items == ["a é"]
    assert question_of("application/json", b'{"texts": ["a", "b"], "top": 1}', LIMITS).items == ["a", "b"]
    assert question_of("image/png", b"\x89PNG", LIMITS).items == [b"\x89PNG"]
    both = b'{"text": "a", "image": "iVBORw=="}'
    assert question_of("application/json", both, LIMITS).items == [Pair(b"\x89PNG", "a")]
    assert question_of("application/json", b'{"items": [%s]}' % both, LIMITS).items == [Pair(b"\x89PNG", "a")]


def test_one_item_of_many_that_is_none_fails_alone() -> None:
    good, bad = question_of("application/json", b'{"images": ["iVBORw==", "?"]}', LIMITS).items
    assert good == b"\x89PNG"
    assert isinstance(bad, Refused)
    assert bad.reason == "the image is not in base64"


def test_other_bodies_are_refused_with_the_reason() -> None:
    assert refused("text/html", b"") == (415, "text/html is neither application/json nor an image")
    assert refused("application/json", b"[" * 100_000) == (400, "the body is not JSON")
    assert refused("application/json", b"\xff\xfe") == (400, "the body is not JSON")
    for body in (b"{}", b"[]", b'{"text": "a", "other": 1}', b'{"texts": ["a"], "images": []}'):
        assert refused("application/json", body) == (422, f"the body is {WANTED}")
    for body in (b'{"texts": []}', b'{"texts": "a"}'):
        assert refused("application/json", body) == (422, "texts is not a list, or an empty one")
    for body in (b'{"text": 1}', b'{"text": 1, "image": "aa=="}', b'{"text": "a", "image": ["aa=="]}'):
        assert refused("application/json", body) == (422, "the image or the text is not a string")
    for image in (b"a", b"a===", b"a\\u00e9==", b"data:image/png;base64,iVBORw=="):
        body = b'{"text": "a", "image": "%s"}' % image
        assert refused("application/json", body) == (422, "the image is not in base64")
    for top in (b"0", b"true", b'"1"', b"1001"):
        assert refused("application/json", b'{"text": "a", "top": %s}' % top)[0] == 422
    assert refused("multipart/form-data; boundary=x", b"--x--")[0] == 415
    many = b'{"texts": [%s]}' % b",".join([b'"a"'] * 65)
    assert refused("application/json", many) == (422, "65 texts in one request, at most 64")
