"""Reads a page as a browser would: its elements, their attributes, tables and texts."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = ("meta", "link", "br", "img", "hr", "input")


class Page(HTMLParser):
    """The elements of a page in order, its tables by caption (rows of cells), and its text by section title."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.sections: dict[str, str] = {}
        self.classes: dict[tuple[str, str], str] = {}  # of table cells, by caption and text
        self._open: list[str] = []
        self._caption = self._title = ""
        self._cell_class = ""
        self.feed(html)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag in VOID:
            return
        self._open.append(tag)
        if tag == "table":
            self._caption = ""
        if tag == "tr":
            self.tables[self._caption].append([])
        if tag in ("td", "th"):
            self._cell_class = dict(attrs).get("class") or ""
            self.tables[self._caption][-1].append("")
        if tag == "h2":
            self._title = ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "caption":
            assert self._caption
            self._caption = self._unique(self._caption)
            self.tables[self._caption] = []
        if tag == "h2":
            self.sections[self._title] = ""

    def handle_data(self, data: str) -> None:
        if "caption" in self._open:
            self._caption += data
        elif "td" in self._open or "th" in self._open:
            self.tables[self._caption][-1][-1] += data
            self.classes[self._caption, data] = self._cell_class
        elif "h2" in self._open:
            self._title += data
            return
        if self._title in self.sections:
            self.sections[self._title] += data

    def _unique(self, caption: str) -> str:
        number = 2
        name = caption
        while name in self.tables:
            name, number = f"{caption} ({number})", number + 1
        return name

    def attributes(self, name: str) -> list[str]:
        """Return the values of an attribute over all elements."""
        return [found[name] for _, found in self.elements if name in found]

    def tags(self) -> set[str]:
        """Return the tags there are."""
        return {tag for tag, _ in self.elements}
