"""The selector kit finds what it is there to find."""

from dataclasses import replace

import pytest

from ragkit.errors import ContractError
from ragkit.schema import Chunk, Document, Dropped, Hit, Selection
from ragkit.testing.selector import check_selector


def count(texts):
    return [len(text) for text in texts]


DOCUMENT = Document("abcdefghij", "s")
HITS = [Hit(n, 1 / n, f"c{n}", Chunk.of(DOCUMENT, n, n + n), "s", None, None, n) for n in (1, 2, 3)]


class Honest:
    name = "honest"

    def select(self, query, hits, limit=None, corpus=None):
        kept = [hit for hit in hits[:2] if limit is None]
        dropped = [Dropped(hit, "no room") for hit in hits if hit not in kept]
        return Selection(tuple(kept), tuple(dropped), sum(count([hit.chunk.text for hit in kept])))


def broken(change):
    class Broken(Honest):
        name = "broken"

        def select(self, query, hits, limit=None, corpus=None):
            return change(super().select(query, hits, None if change is ignore_limit else limit, corpus), hits)

    return Broken()


def ignore_limit(selection, hits):
    return selection


counter = iter(range(100_000))

BROKEN = {
    "was not given": lambda s, h: replace(s, hits=(*s.hits, replace(HITS[0], rank=9))),
    "a chunk twice": lambda s, h: replace(s, hits=s.hits + s.hits[:1], tokens=s.tokens + 1),
    "are not the hits given": lambda s, h: replace(s, dropped=()),
    "without a reason": lambda s, h: replace(s, dropped=tuple(Dropped(d.hit, " ") for d in s.dropped)),
    "states": lambda s, h: replace(s, tokens=s.tokens + 1) if h else s,
    "under a limit": ignore_limit,
    "two selections": lambda s, h: replace(s, dropped=tuple(Dropped(d.hit, str(next(counter))) for d in s.dropped)),
    "from no hits": lambda s, h: s if h else replace(s, tokens=1),
}


def test_an_honest_selector_passes():
    check_selector(Honest(), "q", HITS, count=count)


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_one_is_found(message):
    with pytest.raises(ContractError, match=message):
        check_selector(broken(BROKEN[message]), "q", HITS, count=count)
