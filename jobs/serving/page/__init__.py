"""A page to try the model on: four files of ours, of the same origin, and nothing from elsewhere."""

from __future__ import annotations

import html
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
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
]


@cache
def piece(path: str, root: str) -> tuple[bytes, bytes, list[tuple[bytes, bytes]]]:
    """Return what `path`, a key of FILES, is answered with under the path `root`: its bytes, their type, headers."""
    name, kind = FILES[path]
    text = (HERE / name).read_text().replace("@ROOT@", html.escape(root.rstrip("/"), quote=True))
    return text.encode(), kind.encode(), HEADERS
