"""`PeerChunker`: a library's chunker behind ragkit's protocol, with a count of what could not be mapped."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version

from ragkit.eval.peers.mapping import Piece, map_pieces
from ragkit.identity import content_hash
from ragkit.models.tokenizer import HfTokenizer
from ragkit.protocols import Gaps
from ragkit.schema import Chunk, Chunked, Document

Cut = Callable[[str], Iterable[Piece]]
"""A library's chunker: from a text to its pieces, in order."""

_EXAMPLES = 3
_MAPPING_VERSION = 2


class PeerChunker:
    """Yields the spans of a library's pieces; `size` and `overlap` count the tokens of `tokenizer`, as everywhere.

    `pieces` and `unmapped` count over everything chunked so far, `examples` holds the first unmapped pieces. A piece
    is unmapped if it is not verbatim text of its document: then not all of the document is covered, and scores of
    this chunker are to be read with that share. White space between pieces is not covered either.
    """

    gaps: Gaps = "whitespace"

    def __init__(
        self, name: str, package: str, cut: Cut, tokenizer: HfTokenizer, *, size: int = 200, overlap: int = 0
    ) -> None:
        self.name = name
        self._cut = cut
        self._tokenizer = tokenizer
        self._overlap = overlap
        self.pieces = 0
        self.unmapped = 0
        self.examples: list[str] = []
        self.fingerprint = content_hash(
            "peer chunker",
            name=name,
            package=f"{package} {version(package)}",
            tokenizer=tokenizer.fingerprint,
            size=size,
            overlap=overlap,
            version=_MAPPING_VERSION,
        )

    def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
        """Yield every document, in order, with its chunks, in order; documents are cut one at a time."""
        for document in documents:
            pieces = list(self._cut(document.text)) if document.text.strip() else []
            mapped = map_pieces(document.text, pieces, self._earliest(document.text))
            self.pieces += len(pieces)
            self.unmapped += len(mapped.unmapped)
            self.examples += mapped.unmapped[: _EXAMPLES - len(self.examples)]
            yield Chunked(document, [Chunk.of(document, start, end) for start, end in mapped.spans])

    def _earliest(self, text: str) -> Callable[[int], int]:
        """Return where the next piece may begin at the earliest, given the end of the one before: `overlap` tokens."""
        if not self._overlap:
            return lambda end: end
        starts: list[int] = self._tokenizer.offsets([text])[0][:, 0].tolist()
        return lambda end: starts[max(0, bisect_left(starts, end) - self._overlap)] if starts else end
