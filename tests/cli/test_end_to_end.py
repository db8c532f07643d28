"""The command as a user runs it: real files, a real index, the real pipeline; no model but hashing, save for `ask`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from ragkit.cli.contract import COMMANDS

# A background job's children inherit an ignored SIGINT; Python would then never see Ctrl-C.
COMMAND = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from ragkit.cli.app import run; status = run(sys.argv[1:]); "
    "print(*sys.modules, file=open('modules.txt', 'w')); sys.exit(status)"
)

GUIDE = "# Firing\n\nKilns fire clay at a thousand degrees.\n\n## Glaze\n\nGlaze is glass made from ash and feldspar.\n"
PAGE = "<html><body><h1>Looms</h1><p>Looms weave wool &amp; linen.</p><p>第二段。</p></body></html>"
RECORDS = [
    {"doc_id": "r1", "text": "Copper is mined in Chile.", "year": 2019, "lang": "en"},
    {"doc_id": "r2", "text": "Kupfer leitet Strom.", "year": 2021, "lang": "de"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "guide.md").write_text(GUIDE)
    (docs / "page.html").write_text(PAGE)
    (docs / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return tmp_path


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", COMMAND, *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ragkit(folder: Path, *arguments: str, status: int = 0) -> dict:
    """Return the reply, or with another status than 0 and 3 the error, of `ragkit arguments... --json`."""
    process = start(folder, *arguments, "--json")
    out, err = (stream.decode("utf-8") for stream in process.communicate(timeout=250))
    assert process.returncode == status, out + err
    filled, empty = (out, err) if out else (err, out)
    assert (empty, filled.count("\n")) == ("", 1)
    reply = json.loads(filled)
    command = "chunk --text" if "--text" in arguments else arguments[0]
    jsonschema.validate(reply, COMMANDS[command if out else "errors"].model_json_schema())
    return reply


def modules(folder: Path) -> set[str]:
    return set((folder / "modules.txt").read_text().split())


def test_from_a_folder_to_exact_spans_with_every_retriever(folder: Path):
    first = ragkit(folder, "index", "docs", "--index", "idx", "--embedder", "hashing")
    assert (first["documents"], first["added"], first["failed"]) == (4, 4, [])
    texts = {
        path.name: ragkit(folder, "chunk", str(path), "--text")["text"] for path in (folder / "docs").glob("*.[hm]*")
    }
    assert texts["guide.md"] == GUIDE
    for retriever in ("lexical", "dense", "hybrid"):
        reply = ragkit(folder, "query", "glaze made from ash", "--index", "idx", "--retriever", retriever, "-k", "3")
        assert "Glaze is glass" in reply["hits"][0]["text"]
        assert [hit["rank"] for hit in reply["hits"]] == list(range(1, len(reply["hits"]) + 1))
        for hit in reply["hits"]:
            name = Path(hit["source"]).name
            if name in texts:
                assert hit["text"] == texts[name][hit["start"] : hit["end"]]
    assert ragkit(folder, "verify", "--index", "idx")["ok"]
    assert ragkit(folder, "repair", "--index", "idx")["ok"]


def test_an_unchanged_folder_costs_no_heavy_library_and_changes_nothing(folder: Path):
    ragkit(folder, "index", "docs", "--index", "idx", "--embedder", "hashing")
    again = ragkit(folder, "index", "docs", "--index", "idx")
    assert (again["unchanged"], again["added"], again["updated"], again["removed"]) == (4, 0, 0, 0)
    assert not modules(folder) & {"torch", "transformers", "sentence_transformers", "openai", "chromadb"}
    (folder / "docs" / "page.html").unlink()
    (folder / "docs" / "guide.md").write_text(GUIDE + "\nAsh is sifted first.\n")
    changed = ragkit(folder, "index", "docs", "--index", "idx")
    assert (changed["updated"], changed["removed"], changed["unchanged"]) == (1, 1, 2)


@pytest.mark.parametrize("retriever", ["lexical", "dense", "hybrid"])
def test_filters_hold_for_every_retriever(folder: Path, retriever: str):
    ragkit(folder, "index", "docs", "--index", "idx", "--embedder", "hashing")
    call = ("query", "copper Kupfer kilns", "--index", "idx", "--retriever", retriever, "--where")
    hits = ragkit(folder, *call, "year >= 2020 and not lang = 'en'")["hits"]
    assert [hit["doc_id"] for hit in hits] == ["r2"]
    error = ragkit(folder, *call, "year >= and", status=2)
    assert error["error"] == "FilterError"


def test_unreadable_inputs_are_named_and_the_rest_is_indexed(folder: Path):
    (folder / "docs" / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing of the kind")
    reply = ragkit(folder, "index", "docs", "--index", "idx", "--embedder", "hashing", status=3)
    assert reply["documents"] == 4
    (failure,) = reply["failed"]
    assert Path(failure["source"]).name == "broken.pdf"
    assert failure["reason"]


def test_other_settings_are_refused_until_a_rebuild_is_asked_for(folder: Path):
    ragkit(folder, "index", "docs", "--index", "idx", "--embedder", "hashing", "--chunk-size", "40")
    error = ragkit(folder, "index", "docs", "--index", "idx", "--chunk-size", "9", status=2)
    assert error["error"] == "IndexMismatchError"
    assert "--rebuild" in error["hint"]
    before = ragkit(folder, "verify", "--index", "idx")
    rebuilt = ragkit(folder, "index", "docs", "--index", "idx", "--chunk-size", "9", "--rebuild")
    assert rebuilt["generation"] > before["generation"]
    assert rebuilt["chunks"] > before["chunks"]


@pytest.mark.parametrize("command", [["query", "what?"], ["ask", "what?"], ["verify"], ["repair"]], ids=" ".join)
def test_a_missing_index_is_wrong_use_and_is_not_made(folder: Path, command: list[str]):
    error = ragkit(folder, *command, "--index", "none", status=2)
    assert error["error"] == "MissingIndexError"
    assert not (folder / "none").exists()


def test_an_empty_folder_is_one_clear_error(folder: Path):
    (folder / "empty").mkdir()
    error = ragkit(folder, "index", "empty", "--index", "idx", "--embedder", "hashing", status=1)
    assert "empty" in error["message"]
    assert error["hint"]


def test_a_damaged_index_is_reported_and_repaired(folder: Path):
    ragkit(folder, "index", "docs", "--index", "idx", "--embedder", "hashing")
    segment = next(path for path in (folder / "idx" / "segments").rglob("*") if path.is_file())
    segment.write_bytes(segment.read_bytes()[:-4])
    broken = ragkit(folder, "verify", "--index", "idx", status=1)
    assert not broken["ok"]
    assert broken["problems"]
    assert ragkit(folder, "repair", "--index", "idx")["repaired"]
    assert ragkit(folder, "verify", "--index", "idx")["ok"]


@pytest.fixture
def large(folder: Path) -> Path:
    """A folder that takes seconds to index."""
    words = [f"word{number}" for number in range(997)]
    for number in range(40):
        turned = words[number:] + words[:number]
        (folder / "docs" / f"{number}.txt").write_text("\n\n".join(" ".join(turned) for _ in range(32)))
    return folder


def test_ctrl_c_leaves_the_last_generation_and_says_so(folder: Path, large: Path):
    first = ragkit(folder, "index", "docs/guide.md", "--index", "idx", "--embedder", "hashing")
    stamp = (folder / "idx" / "writer.json").stat().st_mtime_ns
    process = start(folder, "index", "docs", "--index", "idx", "--json")
    give_up = time.monotonic() + 60
    while (folder / "idx" / "writer.json").stat().st_mtime_ns == stamp and time.monotonic() < give_up:
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=250)
    assert (process.returncode, out) == (130, b"")
    error = json.loads(err)
    assert error["error"] == "Interrupted"
    assert f"generation {first['generation']}" in error["message"]
    after = ragkit(folder, "verify", "--index", "idx")
    assert (after["ok"], after["documents"], after["generation"]) == (True, 1, first["generation"])
    assert "Glaze" in ragkit(folder, "query", "glaze", "--index", "idx", "-k", "1")["hits"][0]["text"]


@pytest.mark.models
def test_an_answer_cites_exact_text_and_names_its_model(folder: Path, smollm_folder: Path):
    ragkit(folder, "index", "docs/guide.md", "docs/page.html", "--index", "idx", "--embedder", "hashing")
    reply = ragkit(folder, "ask", "What is glaze made from?", "--index", "idx", "-k", "3", "--max-tokens", "40")
    assert reply["model"]
    assert reply["citations"]
    for citation in reply["citations"]:
        text = ragkit(folder, "chunk", citation["source"], "--text")["text"]
        assert citation["text"] == text[citation["start"] : citation["end"]]
        assert f"[{citation['marker']}]" in reply["answer"]


def test_a_pipe_that_closes_early_is_quiet(folder: Path):
    ragkit(folder, "index", "docs", "--index", "idx", "--embedder", "hashing")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "ragkit.cli.app", "query", "glaze", "--index", "idx", "--retriever", "lexical"]
    done = subprocess.run(command, cwd=folder, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
