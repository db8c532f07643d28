"""matplotlib's SVG as part of a page: themed, selectable text, no style attributes, ids that no other plot has.

matplotlib writes its styles into attributes, which a strict Content-Security-Policy forbids; they become classes.
"""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib as mpl
from lxml import etree
from markupsafe import Markup
from matplotlib.figure import Figure

from ragkit.eval.report.palette import GRID, INK, MUTED, VARIABLES

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
SETTINGS: Any = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "lines.linewidth": 1.4,
}
"""Any, because matplotlib types such a mapping by the literal names of all its settings."""


def drawing(figure: Figure, name: str, alternative: str) -> tuple[Markup, str]:
    """Return the figure as an inline SVG and the style sheet of its classes, which start with `name`.

    `alternative` is read to those who do not see the plot.
    """
    written = io.BytesIO()
    with mpl.rc_context({**SETTINGS, "svg.hashsalt": name}):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, load_dtd=False)
    root = etree.fromstring(written.getvalue(), parser)
    for unwanted in [*root.iter(f"{SVG}metadata", f"{SVG}style")]:
        unwanted.getparent().remove(unwanted)
    classes: dict[str, str] = {}
    used = {link.removeprefix("#") for link in root.xpath("//@*[local-name() = 'href']")}
    used |= {name for value in root.xpath("//@clip-path") for name in re.findall(r"url\(#(.*?)\)", value)}
    for element in root.iter():
        style = element.attrib.pop("style", None)
        if style:
            element.set("class", classes.setdefault(_themed(style), f"{name}-{len(classes)}"))
        identity = element.attrib.pop("id", None)
        if identity in used:
            element.set("id", f"{name}-{identity}")
        if link := element.attrib.pop(LINK, None):
            element.set("href", f"#{name}-{link.removeprefix('#')}")
        if clip := element.get("clip-path"):
            element.set("clip-path", clip.replace("url(#", f"url(#{name}-"))
    _frame(root, alternative)
    etree.cleanup_namespaces(root)
    text = etree.tostring(root, encoding="unicode")
    style_sheet = "\n".join(f".{found} {{ {style} }}" for style, found in classes.items())
    return Markup(text), style_sheet  # noqa: S704 # serialised from a tree, so every text in it is escaped


def _themed(style: str) -> str:
    kept = [part.strip() for part in style.split(";") if part.strip() and "font-family" not in part]
    text = "; ".join(kept)
    for stand_in, variable in VARIABLES.items():
        text = text.replace(stand_in, variable)
    return text


def _frame(root: etree._Element, alternative: str) -> None:
    """Let the page set the size, and give the picture a name."""
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("class", "plot")
    root.set("role", "img")
    root.set("aria-label", alternative)
