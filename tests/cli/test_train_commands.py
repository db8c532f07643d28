"""`ragkit train corag-agent` and `ragkit train calibration`, from a data set to what uses the result."""

import json

import pytest

from ragkit.models.hashing import HashingEmbedder
from ragkit.rerankers.cosine import CosineReranker
from ragkit.scoring.calibration import Isotonic
from ragkit.selectors.agent_file import read_agent
from ragkit.train.held_out import AGENT, ORACLE, SINGLE

TOPICS = ("cat", "tax", "moon", "kiln", "river")
CONFIG = "chunker: {name: sentence, size: 12}\nembedder: {name: hashing}\nretriever: {name: lexical}\n"


@pytest.fixture
def folder(tmp_path):
    """A data set of ten documents with six questions each."""
    documents, queries = [], []
    for number in range(10):
        topic = TOPICS[number % len(TOPICS)]
        sentences = [f"The {topic} of place {number} has number {one} and colour {one * 7 % 5}." for one in range(6)]
        text = " ".join(sentences)
        documents.append({"doc_id": f"d{number}", "text": text})
        for one, sentence in enumerate(sentences):
            start = text.index(sentence)
            evidence = [{"doc_id": f"d{number}", "start": start, "end": start + len(sentence), "text": sentence}]
            queries.append({"query_id": f"d{number}q{one}", "question": f"Which {topic} of place {number} has {one}?",
                            "answers": [str(one)], "evidence": evidence})  # fmt: skip
    target = tmp_path / "set"
    target.mkdir()
    (target / "corpus.jsonl").write_text("".join(json.dumps(one) + "\n" for one in documents))
    (target / "queries.jsonl").write_text("".join(json.dumps(one) + "\n" for one in queries))
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "grid.yaml").write_text("selectors: [{name: top_k, k: 1}, {name: top_k, k: 4}, {name: mmr, k: 2}]\n")
    return tmp_path


def trained(ragkit, folder, command, *more):
    return ragkit("train", command, "--data", f"jsonl:{folder / 'set'}", "--config", folder / "config.yaml",
                  "--work", folder / "work", "--out", folder / "out.json", *more)  # fmt: skip


def test_from_the_command_line_to_an_answer(ragkit, folder):
    more = ("--settings", folder / "grid.yaml", "--tokenizer", "words", "--tokens", "60", "-k", "8")
    done = trained(ragkit, folder, "corag-agent", *more)
    assert done.status == 0
    assert "The agent is NOT shown to beat the best single setting" in done.out  # one chunk suits all of them
    assert "| oracle | by question |" in done.out
    reply = trained(ragkit, folder, "corag-agent", *more, "--json").reply
    assert reply["trained_on"] + reply["held_out"] == 60
    assert {row["name"] for row in reply["rows"]} >= {AGENT, SINGLE, ORACLE}
    assert reply["wins"] is (reply["low"] > 0 and reply["p_value"] < 0.05)
    file = read_agent(folder / "out.json")
    assert file.evaluation["verdict"] == reply["verdict"]
    assert file.data[0].questions == reply["trained_on"]
    assert file.aim.measure == "Recall@tokens(60)"
    # the same data, the same file
    first = (folder / "out.json").read_bytes()
    trained(ragkit, folder, "corag-agent", *more)
    assert (folder / "out.json").read_bytes() == first
    docs = folder / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("The cat of place 3 has number 5. The tax of place 1 has number 2.")
    assert ragkit("index", docs, "--index", folder / "index", "--config", folder / "config.yaml").status == 0
    ask = ("query", "Which cat of place 3 has 5?", "--index", folder / "index", "--json")
    assert ragkit(*ask, "--selector", f"configured:{folder / 'out.json'}").reply["hits"]
    wrong = ragkit(*ask, "--selector", "configured")
    assert wrong.status == 2
    assert "needs the option 'agent'" in wrong.error["message"]


def test_mistakes_on_the_command_line(ragkit, folder):
    (folder / "grid.yaml").write_text("selectors: [{name: top_q}, {name: mmr}]\n")
    wrong = trained(ragkit, folder, "corag-agent", "--settings", folder / "grid.yaml", "--tokenizer", "words", "--json")
    assert wrong.status == 2
    assert "Did you mean 'top_k'" in wrong.error["hint"]
    (folder / "grid.yaml").write_text("selectors: 3\n")
    wrong = trained(ragkit, folder, "corag-agent", "--settings", folder / "grid.yaml", "--json")
    assert "expected `selectors:`, a list" in wrong.error["message"]
    (folder / "grid.yaml").write_text("- {name: top_k}\n")
    wrong = trained(ragkit, folder, "corag-agent", "--settings", folder / "grid.yaml", "--json")
    assert "selectors: [" in wrong.error["hint"]
    (folder / "config.yaml").write_text("- hybrid\n")
    wrong = trained(ragkit, folder, "calibration", "--json")
    assert "retriever: hybrid" in wrong.error["hint"]


@pytest.mark.parametrize("command", ["corag-agent", "calibration"])
def test_where_nothing_can_be_written_is_said_before_anything_is_computed(ragkit, folder, command):
    (folder / "out.json").mkdir()
    wrong = trained(ragkit, folder, command, "--json")
    assert wrong.status == 2
    assert "is a folder; expected a file" in wrong.error["message"]
    assert not (folder / "work").exists()
    more = ("--settings", folder / "grid.yaml", "--tokenizer", "words") if command == "corag-agent" else ()
    assert trained(ragkit, folder, command, *more, "--out", folder / "new" / "deep" / "made.json").status == 0
    assert (folder / "new" / "deep" / "made.json").is_file()


def test_a_calibration_from_the_command_line_to_a_selector(ragkit, folder):
    done = trained(ragkit, folder, "calibration", "-k", "6")
    assert done.status == 0
    assert "Brier score on" in done.out
    reply = trained(ragkit, folder, "calibration", "-k", "6", "--json").reply
    assert reply["reranker"] == "cosine"
    assert 0 < reply["relevant"] < 1
    assert reply["brier"] < reply["brier_constant"]
    assert reply["high"] < 0
    made = Isotonic.read(folder / "out.json")
    assert made.scorer == CosineReranker(HashingEmbedder()).fingerprint
    assert len(made.scores) == reply["points"]
    docs = folder / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("The cat of place 3 has number 5. The tax of place 1 has number 2.")
    settings = folder / "asking.yaml"
    learnt = "calibration: {{name: isotonic, path: {}}}"
    cut = "selector: {{name: score_cut, reranker: {}, policy: {{name: fixed, k: 1}}, " + learnt + "}}"
    settings.write_text(CONFIG + cut.format("cosine", folder / "out.json"))
    assert ragkit("index", docs, "--index", folder / "index", "--config", folder / "config.yaml").status == 0
    ask = ("query", "Which cat of place 3 has 5?", "--index", folder / "index", "--config", settings, "--json")
    (hit,) = ragkit(*ask, "--selector", "score_cut").reply["hits"]
    assert "cat" in hit["text"]
    settings.write_text(CONFIG + cut.format("bm25", folder / "out.json"))
    wrong = ragkit(*ask, "--selector", "score_cut")
    assert "another reranker than bm25" in wrong.error["message"]
    settings.write_text(CONFIG + cut.format("none", folder / "out.json"))
    wrong = ragkit(*ask, "--selector", "score_cut")
    assert "there is no reranker" in wrong.error["message"]
    wrong = ragkit(*ask, "--selector", "score_cut:5")
    assert wrong.error["message"].startswith("There is no selector named 'score_cut:5'")


def test_a_calibration_without_anything_to_learn(ragkit, folder):
    path = folder / "set" / "queries.jsonl"
    asked = [{**json.loads(line), "question": "zzz?"} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(one) + "\n" for one in asked))  # nothing is found for any of them
    wrong = trained(ragkit, folder, "calibration", "--json")
    assert wrong.status == 2
    assert "0 chunks were judged" in wrong.error["message"]
    assert not (folder / "out.json").exists()


def test_an_experiment_compares_an_agent_with_other_selectors(ragkit, folder):
    more = ("--settings", folder / "grid.yaml", "--tokenizer", "words", "--tokens", "60", "-k", "8")
    assert trained(ragkit, folder, "corag-agent", *more).status == 0
    (folder / "experiment.yaml").write_text(
        "name: agents\nk: 8\nmeasures: [Recall, Tokens]\nsets: [{load: 'jsonl:set'}]\n"
        "pipeline:\n  chunker: {name: sentence, size: 12}\n  embedder: {name: hashing}\n"
        "  retriever: {name: lexical}\n"
        "systems:\n  - {name: one, pipeline: {selector: {name: top_k, k: 1}}}\n"
        f"  - {{name: agent, pipeline: {{selector: {{name: configured, agent: {folder / 'out.json'}}}}}}}\n"
    )
    ask = ("eval", "run", folder / "experiment.yaml", "--data", folder, "--work", folder / "work", "--out")
    means = {}
    for number in (1, 2):
        reply = ragkit(*ask, folder / f"results{number}", "--json").reply
        means = {(one["system"], one["measure"]): one["mean"] for one in reply["sets"][0]["means"]}
        # training found that one chunk suits all of these questions, and the agent does what training found
        if number == 1:
            assert means["agent", "Tokens"] == means["one", "Tokens"]
            content = json.loads((folder / "out.json").read_text())
            content["utilities"] = [[0.0, 1.0, 0.0]] * len(content["utilities"])
            (folder / "out.json").write_text(json.dumps(content))  # the same path, another agent
    assert means["agent", "Tokens"] > 2 * means["one", "Tokens"]
