"""Trust in sources: fails closed, around every selector, and nothing distrusted comes back in by the side."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ConfigError, FilterError
from ragkit.schema import Chunk, Document, Hit, Selection
from ragkit.selectors.mmr import MmrSelector
from ragkit.selectors.top_k import TopKSelector
from ragkit.selectors.trust import TrustedSelector, make_trust, trust_of
from ragkit.testing.selector import check_selector


def count(texts):
    return [len(text.split()) for text in texts]


def hit(rank, score=None, source="a.md", **metadata):
    document = Document(f"text number {rank}", source)
    chunk = Chunk.of(document, 0, len(document.text), metadata)
    return Hit(rank, 1.0 / rank if score is None else score, f"c{rank}", chunk, source, None, 1, rank)


def ranks(selection):
    return [one.rank for one in selection.hits]


def trusted(selector=None, **options):
    return TrustedSelector(selector or TopKSelector(2, count), make_trust(options))


def test_what_is_distrusted_is_left_out_with_a_flag_and_its_place_is_filled():
    hits = [hit(1, trust=0.1), hit(2, trust=0.9), hit(3, trust=0.5), hit(4, trust=1)]
    selection = trusted(min=0.5).select("q", hits)
    assert ranks(selection) == [2, 3]
    flagged = [one for one in selection.dropped if one.flags]
    assert [(one.hit.rank, one.flags) for one in flagged] == [(1, ("distrusted",))]
    assert flagged[0].reason == "its trust is 0.1 ('trust' in its metadata); at least 0.5 is wanted"
    assert selection.trace["trust"]["of"] == {"c1": 0.1, "c2": 0.9, "c3": 0.5, "c4": 1.0}


@pytest.mark.parametrize("value", [None, "high", True, -0.1, 1.5, math.nan, math.inf])
def test_a_missing_or_bad_value_fails_closed(value):
    chunk = hit(1) if value is None else hit(1, trust=value)
    assert trust_of(chunk, make_trust(0.5)).value == 0.0
    assert trusted(min=0.5).select("q", [chunk]).hits == ()
    assert trust_of(chunk, make_trust({"missing": 0.8})).value == 0.8


def test_rules_go_before_metadata_and_the_first_counts():
    rules = [{"where": "source = 'forum.md'", "trust": 0.1}, {"where": "year < 2000", "trust": 0.4}]
    trust = make_trust({"min": 0.3, "rules": rules})
    assert trust_of(hit(1, source="forum.md", trust=1.0, year=1990), trust).value == 0.1
    assert trust_of(hit(1, trust=1.0, year=1990), trust).value == 0.4
    assert trust_of(hit(1, trust=0.7, year=2020), trust).value == 0.7
    assert (
        "by the rule"
        in TrustedSelector(TopKSelector(2), trust).select("q", [hit(1, source="forum.md")]).dropped[0].reason
    )


def test_the_weight_ranks_by_trust_and_score_whatever_the_scale():
    hits = [hit(1, 3.0, trust=0.2), hit(2, 1.0, trust=1.0), hit(3, -5.0, trust=1.0)]
    selection = trusted(weight=1).select("q", hits)
    assert ranks(selection) == [2, 1]
    assert [one.score for one in selection.hits] == [1.0, 3.0], "what is kept is what was given"
    assert ranks(trusted(weight=0).select("q", hits)) == [1, 2]


class Corpus:
    def vectors(self, rows):
        import numpy as np

        return np.eye(24, dtype=np.float32)[list(rows)]

    def neighbours(self, row, before, after):
        return [hit(20, trust=0.0), hit(21, trust=0.9)]


def test_neighbours_are_guarded_too():
    seen = []

    class Curious:
        name = "curious"

        def select(self, query, hits, limit=None, corpus=None):
            seen.extend(corpus.neighbours(1, 1, 1))
            return Selection(())

    trusted(Curious(), min=0.5).select("q", [], None, Corpus())
    assert [one.rank for one in seen] == [21]


lists = st.lists(st.tuples(st.floats(-3, 3, width=16), st.floats(0, 1, width=16)), max_size=7).map(
    lambda rows: [hit(rank, score, trust=trust) for rank, (score, trust) in enumerate(rows, 1)]
)


@given(lists, st.floats(0, 1), st.floats(0, 3), st.booleans())
def test_the_contract(hits, least, weight, mmr):
    inner = MmrSelector(2, count=count) if mmr else TopKSelector(2, count)
    selector = trusted(inner, min=least, weight=weight)
    assert selector.name in ("mmr", "top_k")
    twice = [*hits, *(hit(rank + 10, trust=1.0) for rank in range(1, 2)), *hits[:1]]
    check_selector(selector, "q", hits, count=count, corpus=Corpus())
    selection = selector.select("q", twice, None, Corpus())
    assert all(trust_of(one, make_trust({})).value >= least for one in selection.hits)


def test_wrong_use():
    assert make_trust(None) is None
    assert make_trust(0.5).min == 0.5
    with pytest.raises(ConfigError, match="cannot be 2"):
        make_trust(2)
    with pytest.raises(ConfigError, match="mim"):
        make_trust({"mim": 0.5})
    with pytest.raises(ConfigError, match="cannot be True"):
        make_trust(True)
    with pytest.raises(FilterError):
        make_trust({"rules": [{"where": "source =", "trust": 0.5}]})
