"""`POST /v1/classify`: which bodies are taken, what is said of the others, and what is answered."""

from __future__ import annotations

import json
from typing import Any

from jobs.runtime.classifier import Raw, from_json
from jobs.serving.limits import Limits
from jobs.serving.refused import Refused
from jobs.serving.versions.version import Version

IMAGE_TYPES = ("image/png", "image/jpeg", "image/bmp", "image/webp", "image/gif", "application/octet-stream")
ONE = ({"text"}, {"image"}, {"image", "text"})
MANY = ({"texts"}, {"images"}, {"items"})
WANTED = 'none of {"text": …}, {"image": …}, {"image": …, "text": …}, {"texts": […]}, {"images": […]}, {"items": […]}'
MOST_LABELS = 1000


class Question:
    """The items a request asks about, whether it asked about many, and how many labels it wants of each."""

    def __init__(self, items: list[Raw | Refused], many: bool = False, top: int = 3) -> None:
        self.items, self.many, self.top = items, many, top


def question_of(content_type: str, body: bytes, limits: Limits) -> Question:
    """Return what a request asks; Refused says why it cannot be read.

    JSON with texts, and images as files in base64, one or many, or the bytes of one image. Forms
    (`multipart/form-data`) are not taken: they would need a parser of their own in every replica.
    """
    kind = content_type.split(";")[0].strip().lower()
    if kind in IMAGE_TYPES:
        return Question([body])
    if kind not in ("application/json", ""):
        raise Refused(415, f"{kind[:80]} is neither application/json nor an image")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(document, dict):
        raise Refused(422, f"the body is {WANTED}")
    top = document.pop("top", 3)
    if not isinstance(top, int) or isinstance(top, bool) or not 1 <= top <= MOST_LABELS:
        raise Refused(422, f"top is not a number from 1 to {MOST_LABELS}")
    if set(document) in ONE:
        item = _item(document)
        if isinstance(item, Refused):
            raise item
        return Question([item], top=top)
    if set(document) not in MANY:
        raise Refused(422, f"the body is {WANTED}")
    return Question(_items(document, limits), many=True, top=top)


def _items(document: dict[str, Any], limits: Limits) -> list[Raw | Refused]:
    ((name, given),) = document.items()
    if not isinstance(given, list) or not given:
        raise Refused(422, f"{name} is not a list, or an empty one")
    if len(given) > limits.items:
        raise Refused(422, f"{len(given)} {name} in one request, at most {limits.items}")
    if name == "items":
        return [_item(one) for one in given]
    return [_item({name[:-1]: one}) for one in given]


def _item(fields: Any) -> Raw | Refused:
    """Return an item, or why it is none: one of many fails alone."""
    if not isinstance(fields, dict) or set(fields) not in ONE:
        return Refused(422, 'an item is none of {"text": …}, {"image": …} and {"image": …, "text": …}')
    if not all(isinstance(value, str) for value in fields.values()):
        return Refused(422, "the image or the text is not a string")
    try:
        return from_json(fields)
    except ValueError:
        return Refused(422, "the image is not in base64")


def labels(version: Version, answers: list[dict[str, Any]]) -> list[Any]:
    """Return the label of each answer; what is no answer has none."""
    return [one.get("label", one.get("error")) for one in answers]


async def answer(version: Version, question: Question, told: Any) -> list[dict[str, Any]]:
    """Return for each item its label, probability and top labels, or of many, `error` for what is wrong with one.

    Refused(422) when a single item, or every one of many, cannot be classified. `told` hears the prepared rows and
    their probabilities.
    """
    good = [item for item in question.items if not isinstance(item, Refused)]
    prepared, wrong = await version.prepare(good) if good else (None, [])
    reasons = iter(wrong)
    errors = [item.reason if isinstance(item, Refused) else next(reasons) for item in question.items]
    if prepared is None:
        raise Refused(422, "; ".join(dict.fromkeys(reason for reason in errors if reason)))
    probabilities = await version.probabilities(prepared)
    told(version.name, prepared, probabilities)
    rows = iter(probabilities)
    answers = (version.classifier.answer(next(rows), question.top) if not e else {"error": e} for e in errors)
    return list(answers)
