"""A smallest experiment, to be changed where a test needs it."""

from __future__ import annotations

from typing import Any

from ragkit.eval.results import Comparison, ExperimentResult, QueryRecord, SetResult, SystemHits, SystemRun

TEXT = "Ants carry leaves. Bees make honey in summer. Cats sleep."
EVIDENCE = TEXT.index("honey"), TEXT.index("honey") + 5


def hits(*spans: tuple[int, int], document: str = "d") -> SystemHits:
    """Return hits on one document, best first; a token is five characters."""
    return SystemHits(
        documents=[document] * len(spans),
        spans=list(spans),
        tokens=[(end - start) // 5 for start, end in spans],
        scores=[1.0 / (place + 1) for place in range(len(spans))],
        seconds=0.01,
    )


def query(name: str, question: str, answers: list[str], evidence: list[tuple[str, int, int]]) -> QueryRecord:
    return QueryRecord(query_id=name, question=question, answers=answers, evidence=evidence, scope=None)


def run(system: str, found: dict[str, SystemHits], scores: dict[str, list[float]], **other: Any) -> SystemRun:
    return SystemRun(
        system=system,
        chunks=2,
        mean_chunk_tokens=5.0,
        boundaries={"d": [(0, 19), (19, len(TEXT))]},
        hits=found,
        scores=scores,
        index_seconds=1.5,
        **other,
    )


def comparison(**changed: Any) -> Comparison:
    base: dict[str, Any] = {
        "measure": "Recall@1", "system": "new", "baseline": "old", "difference": 0.5, "low": 0.1, "high": 0.9,
        "p_value": 0.01, "p_holm": 0.02, "detectable": 0.3, "winner": "new",
    }  # fmt: skip
    return Comparison(**{**base, **changed})


def one_set(**changed: Any) -> SetResult:
    found = {"q": hits((19, len(TEXT)), (0, 19)), "none": hits()}
    other = {"q": hits((0, 19), (19, len(TEXT))), "none": hits()}
    base: dict[str, Any] = {
        "name": "set",
        "fingerprint": "f" * 64,
        "documents": {"d": TEXT},
        "queries": [
            query("q", "What do bees make?", ["honey"], [("d", *EVIDENCE)]),
            query("none", "Who reads?", [], []),
        ],
        "counted": ["q"],
        "left_out": {"no evidence": 1},
        "runs": [run("old", other, {"Recall@1": [0.0]}), run("new", found, {"Recall@1": [1.0]})],
        "intervals": {"Recall@1": {"old": (0.0, 0.0, 0.2), "new": (1.0, 0.8, 1.0)}},
        "comparisons": [comparison()],
    }  # fmt: skip
    return SetResult(**{**base, **changed})


def small(**changed: Any) -> ExperimentResult:
    base: dict[str, Any] = {
        "name": "small", "created": "2026-01-02", "machine": "m", "code_version": "v", "experiment": {"a": 1},
        "measures": ["Recall@1"], "baseline": "old", "seed": 0, "sets": [one_set()],
    }  # fmt: skip
    return ExperimentResult(**{**base, **changed})
