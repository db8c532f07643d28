"""The check that every format passes through: a claimed span holds in its document, or a `Flaw` says why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ragkit.eval.types import EvidenceSpan
from ragkit.schema import Document


class Claim(NamedTuple):
    """Evidence as a source gives it: a span, its text where the source repeats it, and its relevance grade."""

    doc_id: str
    start: int
    end: int
    text: str | None = None
    grade: float = 1.0


class Flaw(Exception):  # noqa: N818 - not an error by itself: strict mode makes one of it
    """What is wrong with one record: `reason` is counted, `detail` says what was found and what was expected."""

    def __init__(self, reason: str, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.hint = hint or "Correct the record, or load with strict=False to drop and count such records."


def verified(document: Document, claim: Claim) -> EvidenceSpan:
    """Return the span of `claim` if it is visible text of `document` and equals the claimed text; else raise Flaw."""
    start, end = claim.start, claim.end
    span = f"evidence [{start}, {end}) of document {clipped(document.doc_id)}"
    if not 0 <= start <= end <= len(document.text):
        raise Flaw("span out of bounds", f"{span} is out of bounds; expected 0 <= start < end <= {len(document.text)}")
    found = document.text[start:end]
    if not found or found.isspace():
        raise Flaw("empty span", f"{span} holds no visible text; expected start < end around some")
    if claim.text is not None and claim.text != found:
        raise Flaw(
            "text is not at its span",
            f"{span} is {clipped(found)}; expected {clipped(claim.text)}{_elsewhere(document, claim)}",
        )
    if not claim.grade > 0:
        raise Flaw("grade is not positive", f"{span} has grade {claim.grade}; expected more than 0")
    return EvidenceSpan(claim.doc_id, start, end, claim.grade)


def verified_segments(
    document: Document, segments: Sequence[tuple[int, int]], *, overlapping: bool
) -> tuple[tuple[int, int], ...]:
    """Return `segments` if they lie in `document`, in order unless `overlapping`; else raise Flaw."""
    before = 0
    for number, (start, end) in enumerate(segments):
        label = f"segment {number} [{start}, {end}) of document {clipped(document.doc_id)}"
        if not 0 <= start < end <= len(document.text):
            raise Flaw(
                "segment out of bounds", f"{label} is out of bounds; expected 0 <= start < end <= {len(document.text)}"
            )
        if start < before and not overlapping:
            raise Flaw(
                "segments overlap",
                f"{label} begins before {before}, where the one before ends; expected segments in order "
                "(meta.segments_may_overlap: true allows any)",
            )
        before = end
    return tuple(segments)


def clipped(text: str, length: int = 60) -> str:
    """Return `text` quoted, cut to `length` characters."""
    return repr(text if len(text) <= length else text[: length - 1] + "…")


def storable(text: str) -> bool:
    """Return whether `text` can be encoded: JSON may spell half surrogates, which are no characters."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _elsewhere(document: Document, claim: Claim) -> str:
    at = document.text.find(claim.text) if claim.text else -1
    return f" (which stands at {at})" if at >= 0 else ""
