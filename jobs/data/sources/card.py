"""Reads what the card of a Hugging Face data set says of its columns: the YAML front matter of its README.md.

The card is data: nothing in it is run, and a name in it never becomes code. `datasets` writes the same facts into its
Parquet files, as JSON under the key `huggingface`; they fill in where the card says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.errors import RequestError
from jobs.data import files
from jobs.data.sources.readers import opened_parquet

NAME = "README.md"
LARGEST = 1 << 20  # bytes of a card
TEXTS = ("string", "large_string")


@dataclass(frozen=True)
class Card:
    """The columns that hold texts, images and class labels; of the last, the classes' names by number."""

    texts: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    classes: dict[str, list[str]] = field(default_factory=dict)


def read_card(folder: str, subset: str) -> Card:
    """Read the card in `folder`, the part about `subset`; an empty Card when it tells nothing; RequestError refuses."""
    path = files.join(folder, NAME)
    if not files.exists(path):
        return Card()
    with files.open_binary(path) as stream:
        raw = stream.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise RequestError(path, "is too large", f"at most {LARGEST} bytes")
    return _card(path, _features(_front_matter(path, raw), subset))


def _front_matter(path: str, raw: bytes) -> Any:
    import yaml

    head, mark, rest = raw.replace(b"\r\n", b"\n").partition(b"---\n")
    if head.strip() or not mark:
        return None
    try:
        return yaml.safe_load(rest.partition(b"\n---")[0])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RequestError(path, f"has a front matter that is not YAML ({str(error).splitlines()[0]})") from None


def _features(front: Any, subset: str) -> list[Any]:
    """Return the list of features of the configuration called `subset`, else of the only one or the default one."""
    told = front.get("dataset_info") if isinstance(front, Mapping) else None
    infos = [info for info in (told if isinstance(told, list) else [told]) if isinstance(info, Mapping)]
    for wanted in (subset, "default"):
        for info in infos:
            if info.get("config_name") == wanted or len(infos) == 1:
                features = info.get("features")
                return features if isinstance(features, list) else []
    return []


def _card(path: str, features: list[Any]) -> Card:
    card = Card()
    for feature in features:
        name, kind = (feature.get("name"), feature.get("dtype")) if isinstance(feature, Mapping) else (None, None)
        if not isinstance(name, str):
            continue
        if kind in TEXTS:
            card.texts.append(name)
        elif kind == "image":
            card.images.append(name)
        elif isinstance(kind, Mapping) and isinstance(kind.get("class_label"), Mapping):
            card.classes[name] = _names(path, name, kind["class_label"].get("names"))
    return card


def _names(path: str, column: str, names: Any) -> list[str]:
    """Return the classes' names: given as a list, or as a mapping from numbers, which YAML may have read as text."""
    if isinstance(names, Mapping):
        numbered = {str(number): name for number, name in names.items()}
        names = [numbered.get(str(number)) for number in range(len(numbered))]
    if not isinstance(names, list) or not names or len(set(map(str, names))) < len(names) or None in names:
        raise RequestError(path, f"does not name the classes of {column!r}", "a name for each number from 0")
    return [str(name) for name in names]


def embedded_classes(path: str, column: str) -> list[str]:
    """Return the classes' names that a Parquet file itself tells of `column`; none when it tells nothing."""
    with opened_parquet(path) as table:
        told = (table.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        feature = json.loads(told)["info"]["features"][column]
        names = feature["names"] if feature["_type"] == "ClassLabel" else []
    except (ValueError, RecursionError, LookupError, TypeError):
        return []
    return _names(path, column, names) if names else []
