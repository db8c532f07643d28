"""Every worked example of the specification for spans, ranks and selectors, number by number."""

import numpy as np
import pytest

from ragkit.eval.metrics import (
    AP,
    DCG,
    F1,
    RR,
    CitationPrecision,
    CitationRecall,
    Duplication,
    FullEvidence,
    Hit,
    IoU,
    Measure,
    P,
    PoisonCounts,
    Precision,
    PrecisionOmega,
    R,
    Recall,
    ReferenceHit,
    adaptive,
    chars,
    context_precision,
    evaluate,
    nDCG,
    poison_counts,
    tokens,
)
from ragkit.eval.types import Query, Retrieved
from tests.eval.metrics.small import query, run


def value(measure: Measure | str, asked: Query, found: Retrieved, chunks: list[tuple[int, int]] | None = None) -> float:
    corpus = None if chunks is None else {"d": np.array(chunks)}
    (result,) = evaluate([measure], [asked], [found], chunks=corpus)[measure]
    return float(result)


A_QUERY = query(("d", 100, 200), ("d", 300, 350))
A_RUN = run(("d", 80, 220), ("d", 180, 320), ("d", 600, 700))
A_CHUNKS = [(80, 220), (180, 320), (300, 400), (600, 700)]


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (Recall, 0.8),
        (Recall(redundancy="union"), 0.8),
        (Precision, 120 / 380),
        (IoU, 120 / 410),
        (Precision(redundancy="union"), 120 / 340),
        (IoU(redundancy="union"), 120 / 370),
        (Duplication, 1 - 340 / 380),
        (PrecisionOmega, 150 / 320),
        (PrecisionOmega(omega="sum"), 150 / 380),
        (ReferenceHit, 0.5),
        (ReferenceHit(cover=0.4), 1.0),
        (FullEvidence, 0.0),
        (FullEvidence(cover=0.4), 1.0),
        (Recall @ 1, 100 / 150),
        (Recall @ chars(140), 100 / 150),
        (Recall @ chars(139), 0.0),
        (Recall @ tokens(70), 0.8),
        (Recall @ tokens(69), 100 / 150),
    ],
    ids=str,
)
def test_example_a(measure: Measure, expected: float):
    assert value(measure, A_QUERY, A_RUN, A_CHUNKS) == pytest.approx(expected, abs=1e-12)


def test_example_a_in_published_digits():
    names = ["Recall", "Precision", "IoU", 'IoU(redundancy="union")', "Duplication", "PrecisionOmega"]
    scores = evaluate(names, [A_QUERY], [A_RUN], chunks={"d": np.array(A_CHUNKS)})
    assert [round(float(scores[name][0]), 3) for name in names] == [0.8, 0.316, 0.293, 0.324, 0.105, 0.469]


GRID = [(start, start + 100) for start in range(0, 1000, 100)]


def test_example_b():
    asked, found = query(("d", 250, 320)), run(("d", 200, 300), ("d", 500, 600))
    assert value(Recall, asked, found) == pytest.approx(50 / 70)
    assert value(Precision, asked, found) == pytest.approx(0.25)
    assert value(IoU, asked, found) == pytest.approx(50 / 220)
    assert value(PrecisionOmega, asked, found, GRID) == pytest.approx(0.35)


def test_example_c_chunks_that_touch_do_not_overlap():
    asked = query(("d", 200, 300))
    assert value(PrecisionOmega, asked, run(), GRID) == 1.0
    touching = run(("d", 100, 200), ("d", 300, 400))
    assert value(Hit, asked, touching) == 0.0
    assert value(Recall, asked, touching) == 0.0


UNITS = [(place * 10, place * 10 + 10) for place in range(12)]


def ranked(relevance: list[int]) -> Retrieved:
    return run(*(("d", *UNITS[place]) for place in range(len(relevance))))


def judged(grades: list[int]) -> Query:
    found = [(("d", *UNITS[place]), grade) for place, grade in enumerate(grades) if grade]
    return query(*(place for place, _ in found), grades=[float(grade) for _, grade in found])


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (Hit @ 5, 1),
        (P @ 5, 0.4),
        (R @ 5, 2 / 3),
        (F1 @ 5, 0.5),
        (RR @ 5, 0.5),
        (AP @ 5, 1 / 3),
        (AP(ap_norm=True) @ 5, 1 / 3),
        (AP(ap_norm=True) @ 2, 0.25),
        (AP @ 2, 1 / 6),
        (DCG @ 5, 1.0616),
        (nDCG @ 5, 0.498),
        *((measure @ 1, 0) for measure in (Hit, P, R, F1, RR, AP, DCG, nDCG)),
    ],
    ids=str,
)
def test_example_d(measure: Measure, expected: float):
    asked = judged([0, 1, 0, 1, 0, 0, 0, 1])
    assert value(measure, asked, ranked([0, 1, 0, 1, 0]), UNITS) == pytest.approx(expected, abs=5e-4)


def test_example_e_ideal_over_the_whole_pool():
    asked = judged([3, 0, 2, 1, 0, 3])
    found = ranked([3, 0, 2, 1])
    assert value(DCG, asked, found, UNITS) == pytest.approx(4.4307, abs=1e-4)
    assert value(nDCG @ 4, asked, found, UNITS) == pytest.approx(0.701, abs=5e-4)
    assert value(nDCG(gain="exponential") @ 4, asked, found, UNITS) == pytest.approx(0.669, abs=5e-4)


def test_example_f():
    queries = [query(("d", 10, 20)), query(("d", 90, 95)), query(("d", 0, 10))]
    means = evaluate([RR, Hit], queries, [ranked([0, 0])] * 3).means()
    assert means == {"RR": 0.5, "Hit": pytest.approx(2 / 3)}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [((1, 2, 3, 4, 5, 6, 7), (2 / 7, 1, 4 / 9)), ((2, 5, 6), (1 / 3, 0.5, 0.4)), ((), (0, 0, 0))],
)
def test_example_g(chosen: tuple[int, ...], expected: tuple[float, ...]):
    asked = query(("d", *UNITS[3]), ("d", *UNITS[6]))
    found = run(*(("d", *UNITS[place]) for place in chosen), ranked=False)
    scores = evaluate(["P", "R", "F1"], [asked], [found], chunks={"d": np.array(UNITS)})
    assert [float(scores[name][0]) for name in ("P", "R", "F1")] == pytest.approx(expected)


def test_poison_example():
    counts = PoisonCounts(caught=6, false_alarms=4, missed=9)
    assert (counts.precision, counts.recall, counts.f1) == (0.6, 0.4, 0.48)


def test_poison_counts_only_selected_units_and_clean_evidence():
    counts = poison_counts({1, 2, 3, 4, 5}, flagged={1, 2, 9}, poisoned={1, 3, 8}, gold={2, 3, 4, 7})
    assert counts == PoisonCounts(caught=1, false_alarms=1, missed=1, evidence_lost=1, evidence=2)
    assert (counts + counts).evidence_loss == 0.5
    assert PoisonCounts().precision == PoisonCounts().recall == PoisonCounts().evidence_loss == PoisonCounts().f1 == 0.0


def test_context_precision_example():
    assert context_precision([True, False, True]) == pytest.approx(5 / 6)
    assert context_precision([False]) == context_precision([]) == 0.0


def test_adaptive_takes_as_many_chunks_as_hold_evidence():
    asked = query(("d", 250, 320))  # two chunks of the grid
    found = run(("d", 500, 600), ("d", 200, 300), ("d", 300, 400))
    assert value(Recall @ adaptive(), asked, found, GRID) == pytest.approx(50 / 70)
    assert value(Recall @ adaptive(1), asked, found, GRID) == 0.0
    assert value(Precision @ adaptive(5), asked, found, GRID) == pytest.approx(0.25)


def test_adaptive_and_omega_without_a_chunk_that_holds_evidence():
    asked, found = query(("d", 250, 320)), run(("d", 0, 300))
    assert value(Recall @ adaptive(), asked, found, [(0, 100)]) == 0.0
    assert value(PrecisionOmega, asked, found, [(0, 100)]) == 0.0
    assert value(PrecisionOmega(omega="sum"), asked, found, [(0, 100)]) == 0.0


def test_citation_example_of_the_documentation():
    asked = query(("d", 100, 200), ("e", 0, 50))
    cited = run(("d", 150, 260), ("d", 150, 260), ("d", 400, 450), ("f", 0, 80), ranked=False)
    assert value(CitationPrecision, asked, cited) == pytest.approx(1 / 3)
    assert value(CitationRecall, asked, cited) == 0.5
    assert value(CitationRecall(cover=0.6), asked, cited) == 0.0
    assert value(CitationPrecision, asked, run()) == value(CitationRecall, asked, run()) == 0.0


def test_full_evidence_example_of_the_documentation():
    asked = query(("d", 100, 200), ("d", 300, 340))
    found = run(("d", 90, 210), ("d", 300, 330))
    assert [value(FullEvidence @ 1, asked, found), value(FullEvidence @ 2, asked, found)] == [0.0, 0.0]
    assert value(FullEvidence(cover=0.75) @ 2, asked, found) == 1.0
    assert value(FullEvidence @ 3, asked, run(("d", 90, 210), ("d", 300, 330), ("d", 320, 400))) == 1.0
