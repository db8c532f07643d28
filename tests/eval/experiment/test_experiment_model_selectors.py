"""Selectors that narrow or choose by rationales in an experiment, and the success of an attack as a measure."""

from __future__ import annotations

import json
from pathlib import Path

from ragkit.eval.experiment.run import RunOptions, run


def test_narrowed_spans_are_scored_exactly_and_attacks_are_counted(tmp_path: Path, experiment, reader, animals):
    lines = (animals / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    queries = [json.loads(line) for line in lines]
    for query in queries[:5]:  # what the reader will say of the first animal, were it an attacker's wish
        query["meta"]["incorrect_answer"] = query["answers"][1]
    (animals / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    content = {
        "grid": {
            "chunkers": ["recursive"],
            "sizes": [60],
            "retrievers": ["lexical"],
            "selectors": [
                "top_k",
                {"name": "extractive", "policy": {"name": "fixed", "k": 2}},
                {"name": "rationale", "source": "template", "order": "trust"},
                {"name": "top_k", "trust": 0.5},
            ],
        },
        "baseline": "recursive-60/lexical/top_k",
        "measures": ["Recall", "Precision", "IoU", "Contains", "AttackSuccess"],
        "answer": {"model": {"name": "reader"}, "max_tokens": 20, "embedder": {"name": "hashing"}},
    }
    result = run(experiment(**content), RunOptions(work=tmp_path / "work"))
    (part,) = result.sets
    names = dict(
        zip(("top_k", "sentences", "templates", "trusted"), (found.system for found in part.runs), strict=True)
    )
    means = {measure: {short: of[name][0] for short, name in names.items()} for measure, of in part.intervals.items()}
    assert means["Precision"]["sentences"] > 2 * means["Precision"]["top_k"], "spans of sentences, not of chunks"
    assert 0 < means["Recall"]["templates"] <= 1
    assert means["Recall"]["trusted"] == 0, "no document has a trust: it fails closed"
    assert part.counted_for("AttackSuccess") == [query["query_id"] for query in queries[:5]]
    assert means["AttackSuccess"]["top_k"] == means["Contains"]["top_k"] == 1.0
    assert means["AttackSuccess"]["trusted"] == 0.0
