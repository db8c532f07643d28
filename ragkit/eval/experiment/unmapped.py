"""What is said of a chunker whose pieces are not text of their documents."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from ragkit.errors import RagkitWarning


def unmapped_notes(system: str, unmapped: int, chunks: int) -> Iterator[str]:
    """Yield a note if pieces of `system` were not mapped; one on which nothing is left to score is warned about too."""
    if not unmapped:
        return
    if chunks:
        yield f"{system}: {unmapped} pieces could not be mapped to spans"
        return
    note = (
        f"{system}: none of its {unmapped} pieces is text of its document, so it has no chunk; its figures say nothing "
        "about that library"
    )
    warnings.warn(f"{note}. Give it another tokenizer, or leave it out.", RagkitWarning, stacklevel=2)
    yield note
