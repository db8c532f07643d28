"""matplotlib's SVG as part of a page: themed, selectable text, no style attributes, ids that no other plot has.

matplotlib writes its styles into attributes, which a strict Content-Security-Policy forbids; they become classes.
"""

from __future__ import annotations

import io
import re
import warnings
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
    with mpl.rc_context({**SETTINGS, "svg.hashsalt": name}), warnings.catch_warnings():
        # the text is set by the browser, whose fonts know more characters than the one matplotlib measures with
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, load_dtd=False)
    root = etree.fromstring(written.getvalue(), parser)
    for unwanted in [*root.iter(f"{SVG}metadata", f"{SVG}style")]:
        unwanted.getparent().remove(unwanted)
    classes = _with_classes(root, name)
    _with_own_ids(root, name)
    for element in root.iter(f"{SVG}path"):
        element.set("d", re.sub(r"(\.\d\d)\d+", r"\1", element.get("d", "")))  # a hundredth of a point is not seen
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)  # the page sets the size
    for attribute, value in {"class": "plot", "role": "img", "aria-label": label(alternative)}.items():
        root.set(attribute, value)
    etree.cleanup_namespaces(root)
    style_sheet = "\n".join(f".{found} {{ {style} }}" for style, found in classes.items())
    return Markup(etree.tostring(root, encoding="unicode")), style_sheet  # noqa: S704 # serialised from a tree: every text in it is escaped


def label(text: str, longest: int = 200) -> str:
    r"""Return `text` as one line that XML can hold, cut to `longest` characters.

    >>> label("a\x00b\nsecond line", 8)
    'a�b�sec…'
    """
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _with_classes(root: etree._Element, name: str) -> dict[str, str]:
    """Replace style attributes by classes; return style -> class."""
    classes: dict[str, str] = {}
    for element in root.iter():
        style = element.attrib.pop("style", None)
        if style:
            element.set("class", classes.setdefault(_themed(style), f"{name}-{len(classes)}"))
    return classes


def _with_own_ids(root: etree._Element, name: str) -> None:
    """Put `name` before the ids that the drawing refers to, and drop the others."""
    used = {link.removeprefix("#") for link in root.xpath("//@*[local-name() = 'href']")}
    used |= {found for clip in root.xpath("//@clip-path") for found in re.findall(r"url\(#(.*?)\)", clip)}
    for element in root.iter():
        identity = element.attrib.pop("id", None)
        if identity in used:
            element.set("id", f"{name}-{identity}")
        if link := element.attrib.pop(LINK, None):
            element.set("href", f"#{name}-{link.removeprefix('#')}")
        if clip := element.get("clip-path"):
            element.set("clip-path", clip.replace("url(#", f"url(#{name}-"))


def _themed(style: str) -> str:
    """Return the style in the page's font and with its variables as colours."""
    text = "; ".join(part.strip() for part in style.split(";") if part.strip() and "font-family" not in part)
    for stand_in, variable in VARIABLES.items():
        text = text.replace(stand_in, variable)
    return text
