"""Explanations: every chunk considered has a verdict and a reason, and every stage its cost."""

from __future__ import annotations

import json

from ragkit.answering.answer import answer
from ragkit.answering.explain import explain
from ragkit.answering.prompt import prompt_order
from ragkit.budget import Budget, Price
from ragkit.schema import Chunk, Document, Dropped, Hit, Selection
from ragkit.testing.scripted import ScriptedLanguageModel

DOCUMENT = Document("One fact. Two facts. Three facts.", "a.md")


def hit(rank, start=0, end=9, **changes):
    chunk = Chunk.of(DOCUMENT, start, end)
    return Hit(**{"rank": rank, "score": 1.0 / rank, "chunk_id": f"c{rank}", "chunk": chunk, "source": "a.md",
                  "page": None, "line": rank, **changes})  # fmt: skip


def explained(selection, hits):
    model = ScriptedLanguageModel("One fact.", price=Price(10, 20))
    meter = Budget().meter()
    return explain(answer("Which?", selection, model, meter=meter, hits=hits, seconds={"retrieve": 0.25}))


def test_every_chunk_has_a_verdict_with_its_reason_and_flags():
    hits = [hit(1), hit(2, 10, 20), hit(3, 21, 33)]
    trace = {
        "selector": "score_cut", "policy": {"name": "drop", "g": 0.3, "max_k": None},
        "cut": {"kept": 1, "reason": "why"},
        "scores": [["c3", 0.9], ["c1", 0.5], ["c2", 0.1]], "flags": {"c3": ["factual"]},
    }  # fmt: skip
    dropped = (Dropped(hits[0], "below"), Dropped(hits[1], "its trust is 0", ("distrusted",)))
    found = explained(Selection((hits[2],), dropped, 3, trace=trace), hits)
    assert (found.selector, found.policy) == ("score_cut", "drop(g=0.3)")
    rows = [(one.chunk_id, one.kept, one.rank, one.judged, one.reason, one.flags) for one in found.considered]
    assert rows == [
        ("c3", True, 3, 0.9, "before the cut: why", ("factual",)),
        ("c1", False, 1, 0.5, "below", ()),
        ("c2", False, 2, 0.1, "its trust is 0", ("distrusted",)),
    ]
    assert (found.considered[0].start, found.considered[0].end, found.considered[0].line) == (21, 33, 3)


def test_costs_by_stage():
    found = explained(Selection((hit(1),)), [hit(1)])
    rows = {row.stage: row for row in found.spent}
    assert rows["retrieve"].seconds == 0.25
    generate = rows["generate"]
    assert (generate.calls, generate.reply_tokens) == (1, 2)
    assert found.tokens == generate.prompt_tokens + 2
    assert found.dollars == (generate.prompt_tokens * 10 + 2 * 20) / 1e6
    assert found.considered[0].reason == "among the best that fit"


def test_parts_of_a_chunk_are_one_row_with_their_spans():
    parts = (hit(1, 0, 9, chunk_id="p1", part_of="c1"), hit(1, 21, 33, chunk_id="p2", part_of="c1"))
    trace = {"reasons": {"p2": "2 of 3 sentences"}}
    found = explained(Selection(parts, trace=trace), [hit(1, 0, 33)])
    (row,) = found.considered
    assert (row.kept, row.parts, row.reason) == (True, ((0, 9), (21, 33)), "2 of 3 sentences")


def test_a_fetched_neighbour_is_listed_and_nothing_selected_is_explained():
    found = explained(Selection((hit(1), hit(7, 10, 20))), [hit(1)])
    assert [(one.chunk_id, one.kept) for one in found.considered] == [("c1", True), ("c7", True)]
    nothing = explained(Selection((), (Dropped(hit(1), "too long"),)), [hit(1)])
    assert [(one.kept, one.reason) for one in nothing.considered] == [(False, "too long")]
    assert nothing.tokens == 0
    assert json.dumps(dict(nothing.selection)) == "{}"


def test_parts_of_one_chunk_stay_in_the_order_of_the_text():
    a, b = hit(1, 0, 9, chunk_id="a1", part_of="c1"), hit(1, 21, 33, chunk_id="a2", part_of="c1")
    other = hit(2, 10, 20)
    assert prompt_order([a, b, other]) == [other, a, b]
