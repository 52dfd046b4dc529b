"""A page to try the model on: four files of ours, of the same origin, and nothing from elsewhere."""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
# Neither a script nor a style stands in the page itself; what a model or a card says is never taken as markup.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Piece:
    """A file as it is sent, with its headers."""

    body: bytes
    headers: dict[str, str]


@cache
def piece(path: str, root: str) -> Piece:
    """Return what `path`, a key of FILES, is answered with by an application that lies under the path `root`."""
    name, kind = FILES[path]
    text = (HERE / name).read_text().replace("@ROOT@", html.escape(root.rstrip("/"), quote=True))
    return Piece(text.encode(), {"Content-Type": kind, **HEADERS})
