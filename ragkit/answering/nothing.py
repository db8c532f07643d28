"""Why there is nothing to answer from: nothing was retrieved, or none of what was retrieved was let in."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ragkit.schema import Dropped, Hit

NOTHING_FOUND = "Nothing relevant was found in the index."
_NUMBER = re.compile(r"\d[\d.,]*")
_GROUPS = 4


def why_nothing(hits: Sequence[Hit], dropped: Sequence[Dropped]) -> str:
    """Return why none of `hits` is used: how many fell for the same reason, with that of the best ranked of them.

    Reasons that differ in numbers only are one; so are all that come with the same flags.
    """
    found = {hit.chunk_id for hit in hits} | {one.hit.chunk_id for one in dropped}
    if not found:
        return NOTHING_FOUND
    groups: dict[tuple[tuple[str, ...], str], list[Dropped]] = {}
    for one in sorted(dropped, key=lambda one: one.hit.rank):
        groups.setdefault((one.flags, "" if one.flags else _NUMBER.sub("#", one.reason)), []).append(one)
    whole = "The only chunk found is not used" if len(found) == 1 else f"None of the {len(found)} chunks found is used"
    told = [_line(alike) for alike in list(groups.values())[:_GROUPS]]
    rest = sum(len(alike) for alike in list(groups.values())[_GROUPS:])
    if rest:
        told.append(f"- {rest}: for other reasons")
    return "\n".join([whole + (":" if told else "."), *told])


def _line(alike: Sequence[Dropped]) -> str:
    """Return how many fell like this and why, in the selector's words for the best ranked of them."""
    first = alike[0]
    flags = f" ({', '.join(first.flags)})" if first.flags else ""
    whose = " the first of them: " if len({one.reason for one in alike}) > 1 else " "
    return f"- {len(alike)}{flags}:{whose}{first.reason}"
