"""Span metrics against sets of characters and tokens, and their algebraic properties."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ragkit.eval.metrics import IoU, Precision, PrecisionOmega, Recall, chars, evaluate, tokens
from ragkit.eval.types import Query, Retrieved
from tests.eval.metrics.small import CASES, Place, places, query, run

Atoms = set[tuple[str, int]]
WORDS = [(0, 3), (3, 4), (4, 4), (5, 9), (9, 12), (9, 12), (13, 20), (22, 23), (23, 31), (31, 41)]
"""Tokens with gaps between them, an empty one, and two on the same characters, as byte-level vocabularies have."""
TOKEN_SPANS = {document: np.array(WORDS) for document in "abc"}


def atoms(place: Place, unit: str) -> list[tuple[str, int]]:
    """Return the characters of a place, or the tokens that share a character with it."""
    document, start, end = place
    if unit == "chars":
        return [(document, offset) for offset in range(start, end)]
    return [
        (document, number)
        for number, (first, last) in enumerate(WORDS)
        if set(range(first, last)) & set(range(start, end))
    ]


def union(spans: Sequence[Place], unit: str) -> Atoms:
    return {atom for place in spans for atom in atoms(place, unit)}


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def merged_references(evidence: Sequence[Place], unit: str) -> list[Atoms]:
    """Return the references, joined while any two share an atom."""
    groups: list[Atoms] = []
    for place in evidence:
        joined = set(atoms(place, unit))
        for group in [group for group in groups if group & joined]:
            groups.remove(group)
            joined |= group
        groups.append(joined)
    return groups


def reference(evidence: list[Place], hits: list[Place], unit: str, corpus: Sequence[Place] = ()) -> dict[str, float]:
    """Return every span metric, by sets."""
    gold, found = union(evidence, unit), union(hits, unit)
    inside, repeated = len(gold & found), sum(len(atoms(place, unit)) for place in hits)
    ideal = [place for place in set(corpus) if union(evidence, "chars") & set(atoms(place, "chars"))]
    best, spent = union(ideal, unit), sum(len(atoms(place, unit)) for place in ideal)
    shares = [len(group & found) / len(group) for group in merged_references(evidence, unit) if group]
    return {
        f'Recall(unit="{unit}")': ratio(inside, len(gold)),
        f'Precision(unit="{unit}")': ratio(inside, repeated),
        f'Precision(unit="{unit}", redundancy="union")': ratio(inside, len(found)),
        f'IoU(unit="{unit}")': ratio(inside, repeated + len(gold) - inside),
        f'IoU(unit="{unit}", redundancy="union")': ratio(inside, len(found | gold)),
        f'Duplication(unit="{unit}")': 1 - len(found) / repeated if repeated else 0.0,
        f'PrecisionOmega(unit="{unit}")': ratio(len(best & gold), len(best | gold)),
        f'PrecisionOmega(unit="{unit}", omega="sum")': ratio(len(best & gold), spent),
        f'ReferenceHit(unit="{unit}")': ratio(sum(share >= 0.5 for share in shares), len(shares)),
        f'FullEvidence(unit="{unit}")': float(all(share == 1 for share in shares)),
    }


def by_document(corpus: Sequence[Place]) -> dict[str, np.ndarray]:
    return {
        document: np.array([place[1:] for place in corpus if place[0] == document], np.int64).reshape(-1, 2)
        for document in "abc"
    }


@pytest.mark.parametrize("unit", ["chars", "tokens"])
@given(CASES, st.lists(places(), max_size=12))
def test_sets_of_characters_give_the_same(unit: str, cases: list[tuple[list[Place], list[Place]]], corpus: list[Place]):
    assume(all(atoms(place, unit) for evidence, _ in cases for place in evidence))
    queries = [query(*evidence, name=str(number)) for number, (evidence, _) in enumerate(cases)]
    runs = [run(*hits) for _, hits in cases]
    expected = [reference(evidence, hits, unit, corpus) for evidence, hits in cases]
    scores = evaluate(list(expected[0]), queries, runs, chunks=by_document(corpus), token_spans=TOKEN_SPANS)
    for name in scores:
        assert scores[name] == pytest.approx([values[name] for values in expected], abs=1e-12), name


@given(CASES, st.integers(1, 60))
def test_cutoffs_take_the_same_hits_as_a_loop(cases: list[tuple[list[Place], list[Place]]], size: int):
    queries = [query(*evidence) for evidence, _ in cases]
    runs = [run(*hits, tokens=[3 * place[1] % 7 for place in hits]) for _, hits in cases]
    scores = evaluate([Recall @ size, Recall @ chars(size), Recall @ tokens(size)], queries, runs)
    for number, ((evidence, hits), found) in enumerate(zip(cases, runs, strict=True)):
        by_unit = {"chars": [place[2] - place[1] for place in hits], "tokens": list(found.tokens)}
        kept = {str(size): hits[:size]}
        for unit, lengths in by_unit.items():
            taken, spent = 0, 0
            while taken < len(hits) and spent + lengths[taken] <= size:
                spent += lengths[taken]
                taken += 1
            kept[f"{unit}({size})"] = hits[:taken]
        for cutoff, chosen in kept.items():
            wanted = reference(evidence, chosen, "chars")['Recall(unit="chars")']
            assert scores[f"Recall@{cutoff}"][number] == pytest.approx(wanted)


def all_metrics(evidence: list[Place], hits: list[Place], corpus: Sequence[Place] = ()) -> dict[str, float]:
    names = [
        "Recall",
        "Precision",
        'Precision(redundancy="union")',
        "IoU",
        "PrecisionOmega",
        "Duplication",
        "FullEvidence",
    ]
    scores = evaluate(names, [query(*evidence)], [run(*hits)], chunks=by_document(corpus))
    return {name: float(values[0]) for name, values in scores.items()}


EVIDENCE = st.lists(places(least=1), min_size=1, max_size=4)
HITS = st.lists(places(), min_size=1, max_size=6)


@given(EVIDENCE, HITS, HITS)
def test_ranges_and_the_identity_of_iou(evidence: list[Place], hits: list[Place], corpus: list[Place]):
    values = all_metrics(evidence, hits, corpus)
    assert all(0 <= value <= 1 for value in values.values())
    assert values["IoU"] <= min(values["Precision"], values["Recall"]) + 1e-12
    if values["IoU"]:
        assert 1 / values["IoU"] == pytest.approx(1 / values["Precision"] + 1 / values["Recall"] - 1)


@given(EVIDENCE, HITS, places())
def test_one_more_chunk_never_lowers_recall(evidence: list[Place], hits: list[Place], more: Place):
    before, after = all_metrics(evidence, hits), all_metrics(evidence, [*hits, more])
    assert after["Recall"] >= before["Recall"]
    assert after["FullEvidence"] >= before["FullEvidence"]


@given(EVIDENCE, HITS, st.data())
def test_a_repeated_chunk(evidence: list[Place], hits: list[Place], data: st.DataObject):
    again = data.draw(st.sampled_from([place for place in hits if place[2] > place[1]] or [("a", 0, 1)]))
    assume(again in hits)
    before, after = all_metrics(evidence, hits), all_metrics(evidence, [*hits, again])
    assert after["Recall"] == before["Recall"]
    assert after['Precision(redundancy="union")'] == before['Precision(redundancy="union")']
    assert after["Duplication"] > before["Duplication"]
    if before["Precision"]:
        assert after["Precision"] < before["Precision"]


@given(EVIDENCE, HITS, st.integers(1, 10**9))
def test_shifting_everything_changes_nothing(evidence: list[Place], hits: list[Place], shift: int):
    def moved(spans: list[Place]) -> list[Place]:
        return [(document, start + shift, end + shift) for document, start, end in spans]

    assert all_metrics(moved(evidence), moved(hits), moved(hits)) == all_metrics(evidence, hits, hits)


@given(EVIDENCE, st.lists(places(), max_size=8))
def test_omega_is_one_exactly_if_chunks_tile_the_gold(evidence: list[Place], corpus: list[Place]):
    gold = union(evidence, "chars")
    ideal = union([place for place in corpus if set(atoms(place, "chars")) & gold], "chars")
    assert (all_metrics(evidence, [], corpus)["PrecisionOmega"] == 1.0) == (ideal == gold)


@given(EVIDENCE)
def test_chunks_cut_along_the_gold_reach_omega_one(evidence: list[Place]):
    pieces = [(document, offset, offset + 1) for document, offset in union(evidence, "chars")]
    assert all_metrics(evidence, [], pieces)["PrecisionOmega"] == 1.0


@given(CASES)
def test_queries_do_not_disturb_each_other(cases: list[tuple[list[Place], list[Place]]]):
    queries, runs = [query(*evidence) for evidence, _ in cases], [run(*hits) for _, hits in cases]
    measures = [Recall @ 2, Precision @ 3, IoU @ chars(30), "RR", "Hit@2", 'nDCG(unit="documents")@2']
    together = evaluate(measures, queries, runs)
    for number in range(len(cases)):
        alone = evaluate(measures, [queries[number]], [runs[number]])
        assert {name: values[number] for name, values in together.items()} == {
            name: values[0] for name, values in alone.items()
        }


def test_hits_outside_the_scope_are_left_out_before_the_cutoff():
    asked = query(("a", 0, 10), scope="a")
    found = run(("b", 0, 10), ("a", 0, 10), ("c", 3, 9))
    scores = evaluate(["Recall@1", "Precision", "RR", "Units"], [asked], [found])
    assert [float(values[0]) for values in scores.values()] == [1.0, 1.0, 1.0, 1.0]


def test_a_run_without_hits_counts_as_zero():
    queries = [query(("a", 0, 10)), query(("a", 0, 10))]
    scores = evaluate(["Recall@5", "Precision@5", "IoU", "RR"], queries, [run(), run(("a", 0, 10))])
    assert scores.means() == {"Recall@5": 0.5, "Precision@5": 0.5, "IoU": 0.5, "RR": 0.5}


def test_queries_that_do_not_count_are_left_out_by_index():
    queries = [
        Query("none", "?"),
        query(("a", 0, 10)),
        Query("no", "?", evidence=query(("a", 0, 1)).evidence, answerable=False),
        query(("a", 0, 10), grades=[0.0]),
        query(("b", 0, 10)),
    ]
    scores = evaluate([Recall], queries, [run(("a", 0, 5))] * 5)
    assert scores.counted.tolist() == [1, 4]
    assert scores[Recall].tolist() == [0.5, 0.0]


def test_evidence_judged_irrelevant_is_not_gold():
    asked = query(("a", 0, 10), ("a", 20, 30), grades=[1.0, 0.0])
    assert evaluate([Recall, Precision], [asked], [run(("a", 0, 30))]).means() == {
        "Recall": 1.0,
        "Precision": pytest.approx(1 / 3),
    }


def test_nothing_to_score():
    assert dict(evaluate([Recall @ 5, "nDCG@3"], [], [], chunks={})) == {
        "Recall@5": pytest.approx([]),
        "nDCG@3": pytest.approx([]),
    }


def test_no_hits_at_all_in_any_unit():
    measures = [
        Recall,
        IoU(unit="tokens"),
        PrecisionOmega,
        "nDCG@3",
        "AP",
        'R(unit="documents")@1',
        "CitationPrecision",
    ]
    scores = evaluate(
        measures, [query(("a", 0, 9))], [run()], chunks={"a": np.zeros((0, 2), np.int64)}, token_spans=TOKEN_SPANS
    )
    assert all(values.tolist() == [0.0] for values in scores.values())


def test_a_single_plain_retrieved_of_int32_spans():
    found = Retrieved(("a",), np.array([[0, 5]], np.int32), np.array([2], np.int32), np.array([1.0]))
    assert evaluate([Recall @ tokens(2)], [query(("a", 0, 10))], [found]).means() == {"Recall@tokens(2)": 0.5}


def test_an_empty_hit_inside_the_gold_is_not_relevant():
    scores = evaluate(["Hit", "P@1", "Recall", "CitationPrecision"], [query(("a", 0, 10))], [run(("a", 5, 5))])
    assert set(scores.means().values()) == {0.0}
