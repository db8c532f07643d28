"""`ragkit ask --explain`, `--controller` and `--min-trust`, for people and as JSON."""

from __future__ import annotations

import math

import jsonschema
import pytest

from ragkit.cli.contract import COMMANDS
from ragkit.schema import Answer, Selection

from .conftest import make_hit

TRACE = {
    "hits": [
        {"rank": 1, "score": 0.5, "chunk_id": "c1", "source": "a.md", "page": None, "line": 3, "start": 0, "end": 16},
        {"rank": 2, "score": math.nan, "chunk_id": "c2", "source": "b.md", "page": 4, "line": None,
         "start": 5, "end": 9},
    ],
    "kept": ["c1"],
    "parts": [],
    "dropped": [{"chunk_id": "c2", "rank": 2, "reason": "flagged as\x1b factual", "flags": ["factual"]}],
    "selection": {
        "selector": "rationale",
        "policy": {"name": "elbow", "pool": None, "min_k": 1},
        "source": "model",
        "scores": [["c1", 0.75]],
        "reasons": {"c1": "chosen by rationale 1 (date)"},
        "rationales": [{"need": "the date"}],
    },
    "controller": {
        "name": "feedback",
        "stopped": "graded 9, at least 9",
        "rounds": [
            {"round": 1, "kept": ["c1", "c2"], "score": 4, "context": "remove", "reason": "noise"},
            {"round": 2, "kept": ["c1"], "failed": "no JSON"},
        ],
    },
    "seconds": {"retrieve": 0.25},
    "spent": {
        "tokens": 1234, "dollars": 0.0, "seconds": 1.5,
        "stages": {"judge": {"calls": 2, "cached": 1, "prompt_tokens": 1200, "reply_tokens": 34, "tokens": 1234,
                             "seconds": 1.0, "dollars": 0.0, "unpriced": 2}},
    },
}  # fmt: skip


@pytest.fixture
def answered(script):
    script.answers["ask"] = Answer("what?", "Clay.", "tiny", trace=TRACE)
    return script


def test_people_see_chunks_reasons_flags_rounds_and_costs(ragkit, answered):
    out = ragkit("ask", "what?", "--index", "x", "--explain").out
    assert "what rationale did by elbow(min_k=1):" in out
    kept = next(line for line in out.splitlines() if line.startswith("kept"))
    assert kept.split()[:7] == ["kept", "1", "0.5", "0.75", "a.md:3", "[0:16]", "chosen"]
    assert kept.rstrip().endswith("chosen by rationale 1 (date)")
    assert "flagged as␛ factual  [factual]" in out
    assert "\x1b" not in out
    assert "Rationale 1 (model): the date" in out
    assert "Round 1 of feedback: 2 chunks graded 4, remove: noise" in out
    assert "Round 2 of feedback: the judge did not answer (no JSON)" in out
    judge = next(line for line in out.splitlines() if line.startswith("judge"))
    assert judge.split() == ["judge", "1.000", "2", "1", "1,200", "34", "no", "price"]
    assert next(line for line in out.splitlines() if line.startswith("in all")).split()[2:] == [
        *("1.500", "2", "1", "1,234", "no", "price")
    ]


def test_a_pipe_gets_tables_of_160_columns(ragkit, script):
    reason = " ".join(["evidence"] * 12)
    dropped = [{"chunk_id": "c2", "rank": 2, "reason": reason}]
    script.answers["ask"] = Answer("what?", "Clay.", "tiny", trace={**TRACE, "dropped": dropped})
    out = ragkit("ask", "what?", "--index", "x", "--explain").out
    assert reason in out, "in one line"
    assert 80 < max(map(len, out.splitlines())) <= 160


def test_json_has_the_same_and_nothing_without_the_flag(ragkit, answered):
    reply = ragkit("ask", "what?", "--index", "x", "--explain", "--json").reply
    jsonschema.validate(reply, COMMANDS["ask"].model_json_schema())
    found = reply["explanation"]
    assert [(one["chunk_id"], one["kept"], one["flags"]) for one in found["considered"]] == [
        ("c1", True, []), ("c2", False, ["factual"]),
    ]  # fmt: skip
    assert found["considered"][1]["score"] is None
    assert [row["stage"] for row in found["spent"]] == ["retrieve", "judge"]
    assert (found["selection"]["source"], found["selection"]["scores"]) == ("model", [["c1", 0.75]])
    assert [one["round"] for one in found["controller"]["rounds"]] == [1, 2]
    assert ragkit("ask", "what?", "--index", "x", "--json").reply["explanation"] is None
    assert "considered" not in ragkit("ask", "what?", "--index", "x").out


def test_the_options_reach_the_pipeline(ragkit, answered):
    ragkit("ask", "what?", "--index", "x", "--controller", "feedback", "--min-trust", "0.5", "--selector", "rationale")
    (_, asked) = answered.asked("ask")
    assert (asked["controller"], asked["min_trust"], asked["selector"]) == ("feedback", 0.5, "rationale")
    answered.answers |= {"retrieve": [make_hit(1)], "select": Selection((make_hit(1),))}
    ragkit("query", "what?", "--index", "x", "--min-trust", "0.5")
    assert answered.asked("select")[1] == {"selector": None, "min_trust": 0.5}
    assert ragkit("ask", "what?", "--index", "x", "--min-trust", "2").status == 2
