"""The visible text of an HTML page as blocks, by one walk over the tree without recursion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragkit.loaders.blocks import TextBuilder
from ragkit.schema import BlockKind

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

# fmt: off
_NOISE = frozenset((
    "script", "style", "template", "nav", "noscript", "svg", "iframe", "object", "embed", "canvas", "audio", "video",
    "select", "datalist", "button", "input", "textarea", "dialog", "head", "annotation", "annotation-xml", "map",
))
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = _HEADINGS.keys() | frozenset((
    "p", "div", "section", "article", "main", "header", "footer", "aside", "body", "html", "blockquote", "figure",
    "figcaption", "dl", "dt", "dd", "address", "details", "summary", "fieldset", "form", "legend", "center", "hr",
    "ul", "ol", "li", "menu", "table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th", "pre", "listing",
))
# fmt: on
_LISTS = ("ul", "ol", "menu")
_CELLS = ("td", "th")
_PREFORMATTED = ("pre", "listing")
# Stands for <br>; the parser lets no NUL of the page through.
_BREAK = "\x00"
_MAX_INDENT = 8


def visible_text(html: str, builder: TextBuilder | None = None) -> tuple[str, TextBuilder]:
    """Return the title of a page (empty if it has none) and its visible text, added to `builder` if one is given."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(html)
    title = tree.css_first("title")
    walk = _Walk(_layout_tables(tree), TextBuilder() if builder is None else builder)
    node: Any = tree.root
    depth = 0
    while node is not None:
        if walk.opens(node):
            if node.child is not None:
                node, depth = node.child, depth + 1
                continue
            walk.closes(node)
        while depth and node.next is None:
            node, depth = node.parent, depth - 1
            walk.closes(node)
        node = node.next if depth else None
    walk.flush()
    return (" ".join(title.text().split()) if title is not None else ""), walk.builder


def _layout_tables(tree: LexborHTMLParser) -> set[int]:
    """Return the tables that hold tables: they lay out the page, and their cells are read as ordinary blocks."""
    layout: set[int] = set()
    for inner in tree.css("table table"):
        # Climbing stops at the first table: those above it hold a table too, and are climbed to from it.
        above = inner.parent
        while above is not None and above.tag != "table":
            above = above.parent
        if above is not None:
            layout.add(above.mem_id)
    return layout


class _Walk:
    """Gathers inline text and hands it, at each block's edge, to the table cell, list or page that it stands in."""

    def __init__(self, layout_tables: set[int], builder: TextBuilder) -> None:
        self.builder = builder
        self._layout = layout_tables
        self._inline: list[str] = []
        self._heading = 0
        self._preformatted = 0
        self._counters: list[int | None] = []
        self._marker = ""
        self._list_lines: list[str] = []
        self._rows: list[list[str]] | None = None
        self._table = 0
        self._cell: list[str] | None = None

    def opens(self, node: LexborNode) -> bool:
        """Take in the start of `node`; return whether its children are to be read."""
        tag = node.tag or "-"
        if tag == "-text":
            self._inline.append(node.text_content or "")
        if tag[0] in "-!" or tag in _NOISE or _hidden(node):
            return False
        if tag == "br":
            self._inline.append(_BREAK)
        elif tag in _BLOCKS:
            self.flush()
            self._enter(tag, node)
        return True

    def closes(self, node: LexborNode) -> None:
        """Take in the end of a node whose start returned True."""
        if node.tag in _BLOCKS:
            self.flush()
            self._leave(node.tag, node)

    def flush(self) -> None:
        """Put the inline text gathered so far where it belongs."""
        if not self._inline:
            return
        raw, self._inline = "".join(self._inline), []
        if self._preformatted and self._cell is None and not self._counters:
            self.builder.add(BlockKind.CODE, raw.replace(_BREAK, "\n"))
            return
        lines = "\n".join(" ".join(part.split()) for part in raw.split(_BREAK)).strip("\n")
        if not lines:
            return
        if self._cell is not None:
            self._cell.append(lines)
        elif self._counters:
            indent = "  " * min(len(self._counters) - 1, _MAX_INDENT)
            self._list_lines.append(f"{indent}{self._marker}{' '.join(lines.split())}")
            self._marker = "  " if self._marker else ""
        elif self._heading:
            self.builder.add(BlockKind.HEADING, " ".join(lines.split()), self._heading)
        else:
            # Two breaks in a row are how pages without <p> part their paragraphs.
            for paragraph in lines.split("\n\n"):
                self.builder.add(BlockKind.PARAGRAPH, paragraph)

    def _enter(self, tag: str, node: LexborNode) -> None:
        if tag in _HEADINGS:
            self._heading = _HEADINGS[tag]
        elif tag in _PREFORMATTED:
            self._preformatted += 1
        elif tag in _LISTS and self._cell is None:
            self._counters.append(0 if tag == "ol" else None)
        elif tag == "li" and self._counters and self._cell is None:
            counter = self._counters[-1]
            if counter is not None:
                self._counters[-1] = counter = counter + 1
            self._marker = "- " if counter is None else f"{counter}. "
        elif tag == "table" and self._rows is None and node.mem_id not in self._layout:
            self._rows, self._table = [], node.mem_id
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in _CELLS and self._rows is not None:
            self._cell = []

    def _leave(self, tag: str, node: LexborNode) -> None:
        if tag in _HEADINGS:
            self._heading = 0
        elif tag in _PREFORMATTED:
            self._preformatted -= 1
        elif tag in _LISTS and self._cell is None:
            self._counters.pop()
            if not self._counters:
                self.builder.add(BlockKind.LIST, "\n".join(self._list_lines))
                self._list_lines, self._marker = [], ""
        elif tag == "table" and self._rows is not None and node.mem_id == self._table:
            rows, self._rows = self._rows, None
            if self._counters:
                self._list_lines.extend(" | ".join(" ".join(cell.split()) for cell in row) for row in rows)
            else:
                self.builder.add_table(rows)
        elif tag in _CELLS and self._rows and self._cell is not None:
            self._rows[-1].append("\n\n".join(self._cell))
            self._cell = None


def _hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    return bool(attributes) and (
        "hidden" in attributes or attributes.get("aria-hidden") == "true" or attributes.get("role") == "navigation"
    )
