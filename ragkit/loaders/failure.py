"""What is reported about a source, or a part of one, that could not be read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """A source that was not read, and why; `reason` does not repeat the source.

    One file may give documents and failures: a JSONL file with a bad line gives the other records and one failure.
    """

    source: str
    reason: str
