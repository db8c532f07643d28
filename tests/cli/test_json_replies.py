"""The JSON contract: keys, values, schema, and nothing else on either stream."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cli.contract import COMMANDS, finite
from ragkit.index.repair import RepairReport
from ragkit.index.verify import Problem, VerifyReport
from ragkit.schema import Answer, Chunk, Chunked, Citation, Document, Dropped, Selection

from .conftest import keep, make_hit

ROOT = Path(__file__).parents[2]

KEYS = {
    "index": {
        *("documents", "chunks", "added", "updated", "unchanged", "removed", "failed", "seconds", "generation"),
    },
    "query": {"question", "hits", "dropped", "selection"},
    "ask": {"question", "answer", "model", "citations", "trace", "explanation"},
    "chunk": {"source", "chunker", "chunks", "failed"},
    "verify": {"ok", "generation", "documents", "chunks", "problems"},
    "repair": {"ok", "generation", "repaired", "remaining"},
    "errors": {"error", "message", "hint"},
}
INNER_KEYS = {
    ("index", "FailureReply"): {"source", "reason"},
    ("query", "HitReply"): {
        *("rank", "score", "chunk_id", "doc_id", "source", "start", "end", "text", "page", "line", "metadata"),
    },
    ("query", "LeftOutReply"): {"reason", "flags", "hit"},
    ("ask", "CitationReply"): {"marker", "source", "start", "end", "text", "page", "line"},
    ("ask", "ExplanationReply"): {
        *("selector", "policy", "considered", "spent", "tokens", "dollars", "seconds", "selection", "controller"),
    },
    ("ask", "ConsideredReply"): {
        *("chunk_id", "rank", "score", "judged", "kept", "reason", "flags", "source", "page", "line", "start", "end"),
        "parts",
    },
    ("ask", "PartReply"): {"start", "end"},
    ("ask", "SpentReply"): {
        *("stage", "seconds", "calls", "cached", "prompt_tokens", "reply_tokens", "dollars", "unpriced"),
    },
    ("chunk", "ChunkReply"): {"start", "end", "text", "index_text", "metadata"},
    ("verify", "ProblemReply"): {"part", "detail"},
}


@pytest.mark.parametrize(("command", "keys"), KEYS.items())
def test_the_schema_demands_exactly_the_keys_of_the_contract(command, keys):
    schema = COMMANDS[command].model_json_schema()
    assert set(schema["properties"]) == set(schema["required"]) == keys
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(("place", "keys"), INNER_KEYS.items())
def test_the_objects_inside_have_exactly_the_keys_of_the_contract(place, keys):
    command, name = place
    schema = COMMANDS[command].model_json_schema()["$defs"][name]
    assert set(schema["properties"]) == set(schema["required"]) == keys


def valid(command, reply):
    jsonschema.validate(reply, COMMANDS[command].model_json_schema())
    return reply


def test_query_replies_with_every_hit(ragkit, script):
    hits = [make_hit(1, page=2, line=None, metadata={"title": "Clay", "draft": False}), make_hit(2, "第二。")]
    script.answers["retrieve"] = hits
    outcome = ragkit("query", "what?", "--index", "x", "-k", "7", "--where", "year = 1", "--expand", "2", "--json")
    reply = valid("query", outcome.reply)
    assert reply["question"] == "what?"
    assert reply["hits"][0] == {
        "rank": 1,
        "score": 0.5,
        "chunk_id": "c1",
        "doc_id": "d1",
        "source": "a.md",
        "start": 0,
        "end": 16,
        "text": "Kilns fire clay.",
        "page": 2,
        "line": None,
        "metadata": {"title": "Clay", "draft": False},
    }
    assert reply["hits"][1]["text"] == "第二。"
    assert script.asked("retrieve") == (("what?", 7), {"where": "year = 1", "retriever": None, "expand": 2})
    assert outcome.status == 0


def test_query_with_a_selector_replies_with_what_it_kept(ragkit, script):
    script.answers["retrieve"] = [make_hit(1), make_hit(2)]
    script.answers["select"] = lambda question, hits, selector, min_trust: keep(hits[::-1][:1])
    reply = ragkit("query", "what?", "--index", "x", "--selector", "mmr", "--retriever", "dense", "--json").reply
    assert [hit["rank"] for hit in reply["hits"]] == [2]
    assert script.asked("retrieve")[1]["retriever"] == "dense"


def test_query_with_a_selector_says_what_was_left_out_and_how_it_was_decided(ragkit, script):
    left = Dropped(make_hit(2), "its trust is 0", ("distrusted",))
    trace = {"selector": "score_cut", "scores": (("c1", math.inf),)}
    script.answers |= {
        "retrieve": [make_hit(1), make_hit(2)],
        "select": Selection((make_hit(1),), (left,), trace=trace),
    }
    reply = valid("query", ragkit("query", "what?", "--index", "x", "--selector", "score_cut", "--json").reply)
    (dropped,) = reply["dropped"]
    assert (dropped["hit"]["rank"], dropped["reason"], dropped["flags"]) == (2, "its trust is 0", ["distrusted"])
    assert reply["selection"] == {"selector": "score_cut", "scores": [["c1", None]]}
    plain = valid("query", ragkit("query", "what?", "--index", "x", "--json").reply)
    assert (plain["dropped"], plain["selection"]) == ([], None)


def test_metadata_that_is_no_json_number_becomes_null(ragkit, script):
    script.answers["retrieve"] = [make_hit(1, metadata={"a": math.inf, "b": math.nan, "c": 1.5})]
    (hit,) = valid("query", ragkit("query", "what?", "--index", "x", "--json").reply)["hits"]
    assert hit["metadata"] == {"a": None, "b": None, "c": 1.5}


def test_ask_replies_with_citations_trace_and_what_has_no_support(ragkit, script):
    citation = Citation(1, "d1", "a.md", 4, 9, "clay.", None, 3)
    script.answers["ask"] = Answer("what?", "Clay [1]. Gold.", "tiny", (citation,), ("Gold.",), {"score": math.nan})
    reply = valid("ask", ragkit("ask", "what?", "--index", "x", "--max-tokens", "9", "--json").reply)
    assert reply["citations"] == [
        {"marker": 1, "source": "a.md", "start": 4, "end": 9, "text": "clay.", "page": None, "line": 3}
    ]
    assert (reply["model"], reply["trace"]) == ("tiny", {"unsupported": ["Gold."], "closest": [], "score": None})
    assert script.asked("ask")[1]["max_tokens"] == 9


def test_chunk_replies_with_exact_spans(ragkit, script, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one two")
    document = Document("one two", str(path), metadata={"title": "T"})
    script.chunked = [Chunked(document, [Chunk.of(document, 0, 3), Chunk.of(document, 4, 7, {"level": 1})])]
    reply = valid("chunk", ragkit("chunk", path, "--chunker", "token", "--chunk-size", "3", "--json").reply)
    assert reply == {
        "source": str(path.resolve()),
        "chunker": "token",
        "chunks": [
            {"start": 0, "end": 3, "text": "one", "index_text": "one", "metadata": {"title": "T"}},
            {"start": 4, "end": 7, "text": "two", "index_text": "two", "metadata": {"title": "T", "level": 1}},
        ],
        "failed": [],
    }
    (config,) = script.configs
    assert (config.chunker.name, config.chunker.options) == ("token", {"size": 3})


def test_chunks_of_a_file_with_several_documents_name_theirs(ragkit, script, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("")
    documents = [Document("one", str(path), "first"), Document("two", str(path), "second")]
    script.chunked = [Chunked(document, [Chunk.of(document, 0, 3)]) for document in documents]
    both = ragkit("chunk", path, "--json").reply["chunks"]
    assert [chunk["metadata"]["doc_id"] for chunk in both] == ["first", "second"]
    (only,) = ragkit("chunk", path, "--doc", "second", "--json").reply["chunks"]
    assert only["text"] == "two"
    assert ragkit("chunk", path, "--doc", "third", "--json").status == 2


def test_a_document_that_a_model_failed_on_is_named_by_reply_and_status(ragkit, script, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("")
    documents = [Document("one", str(path), "first"), Document("two", str(path), "second")]
    script.chunked = [Chunked(documents[0], [Chunk.of(documents[0], 0, 3)]), Chunked(documents[1], [], "too long.")]
    outcome = ragkit("chunk", path, "--json")
    reply = valid("chunk", outcome.reply)
    assert (outcome.status, len(reply["chunks"])) == (3, 1)
    assert reply["failed"] == [{"source": "second", "reason": "too long."}]
    for_people = ragkit("chunk", path, "--embedder", "hashing")
    assert for_people.status == 3
    assert "second\ncould not be cut: too long.\n" in for_people.out


PROBLEM = Problem("segment", "checksum differs")


@pytest.mark.parametrize(("problems", "status"), [((), 0), ((PROBLEM,), 1)])
def test_verify_says_what_is_wrong_by_status_and_reply(ragkit, script, problems, status):
    script.answers["verify"] = VerifyReport(4, 2, 9, problems)
    outcome = ragkit("verify", "--index", "x", "--json")
    reply = valid("verify", outcome.reply)
    assert (reply["ok"], outcome.status) == (not problems, status)
    assert reply["problems"] == [{"part": "segment", "detail": "checksum differs"}][: len(problems)]
    assert ragkit("verify", "--index", "x").status == status


@pytest.mark.parametrize(("remaining", "status"), [((), 0), ((PROBLEM,), 1)])
def test_repair_says_what_remains_by_status_and_reply(ragkit, script, tmp_path, remaining, status):
    script.answers["repair"] = RepairReport(5, ("postings",), remaining)
    outcome = ragkit("repair", "--index", tmp_path, "--json")
    reply = valid("repair", outcome.reply)
    assert (reply["ok"], reply["repaired"], outcome.status) == (not remaining, ["postings"], status)
    assert ragkit("repair", "--index", tmp_path).status == status


def test_models_lists_the_models_with_and_without_the_word_list(ragkit):
    reply = valid("models", ragkit("models", "--json").reply)
    assert {model["role"] for model in reply["models"]} == {"embedder", "language model"}
    assert ragkit("models", "list", "--json").reply == reply
    assert all(model["name"] in ragkit("models").out for model in reply["models"])


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner) | st.tuples(inner),
)


@given(json_like)
def test_whatever_a_trace_holds_becomes_finite_json(value):
    import json

    json.dumps(finite({"trace": value}), allow_nan=False).encode("utf-8")


def test_the_json_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("write_json_docs", ROOT / "scripts" / "write_json_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "json.md").read_text(encoding="utf-8") == module.page(), "run: make docs"
