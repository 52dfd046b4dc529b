"""Draws charts as SVG for the inside of a page: no outside references, the page's own fonts and colours.

Charts are drawn in stand-in colours that become the page's CSS variables, so that they follow its light or dark mode.
The same values give the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from xml.etree import ElementTree as Xml

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, GRID, FIRST, SECOND = "#010101", "#020202", "#030303", "#040404"
VARIABLES = {INK: "var(--ink)", GRID: "var(--line)", FIRST: "var(--first)", SECOND: "var(--second)"}
LONGEST = 28  # characters of a label in a chart
LEGIBLE = 80  # pixels an inch is never drawn smaller than; narrower windows scroll
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "espalier",
    "text.parse_math": False,  # a class may be named $x$
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
}


def draw(paint: Callable[[Figure], None], width: float, height: float, label: str) -> Markup:
    """Return what `paint` puts on a figure of `width` × `height` inches, as an SVG element; `label` names it."""
    file = io.BytesIO()
    with mpl.rc_context(), warnings.catch_warnings():
        # Labels are drawn by the browser, which has more fonts than the one text is measured with here.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        mpl.rcParams.update({**mpl.rcParamsDefault, **STYLE})
        drawing = Figure(figsize=(width, height), layout="constrained")
        drawing.patch.set_visible(False)
        paint(drawing)
        for axes in drawing.axes:
            axes.patch.set_visible(False)
        FigureCanvasSVG(drawing).print_svg(file, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _inline(file.getvalue(), label, f"min-width: {width * LEGIBLE:.0f}px")


def labelled(text: str) -> str:
    """Return `text` as a label in a chart: cut when long, without characters that XML cannot hold."""
    text = _drawable(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _inline(document: bytes, label: str, style: str) -> Markup:
    """Return a whole SVG document as an element that stands in HTML beside others of its kind."""
    svg = Xml.fromstring(document)
    linked = set(re.findall(rb"#([\w-]+)", document))
    for element in svg.iter():
        element.tag = _local(element.tag)
        attributes = {_local(name): _themed(value) for name, value in element.attrib.items()}
        if attributes.get("id", "").encode() not in linked:
            attributes.pop("id", None)
        element.attrib.clear()
        element.attrib.update(attributes)
    for size in ("width", "height", "version"):
        svg.attrib.pop(size, None)
    svg.set("role", "img")
    svg.set("aria-label", _drawable(label))
    svg.set("style", style)
    # Every part of the markup was written by the serializer, which escapes texts and attributes.
    return Markup(Xml.tostring(svg, "unicode"))


def _drawable(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _themed(value: str) -> str:
    for color, variable in VARIABLES.items():
        value = value.replace(color, variable)
    return value
