"""`--selector score_cut` and `--selector tree_search` on a real index, by name and from a YAML file."""

import pytest

from ragkit.config import PipelineConfig

from .conftest import keep, make_hit

SETTINGS = """
chunker: {name: sentence, size: 14}
embedder: {name: hashing}
selector: {name: score_cut, reranker: {name: fusion, rerankers: [cosine, bm25]}, policy: {name: fixed, k: 1}}
"""


@pytest.mark.models
def test_by_name_and_from_a_file(ragkit, tmp_path, smollm_folder):
    settings, docs = tmp_path / "settings.yaml", tmp_path / "docs"
    settings.write_text(SETTINGS)
    docs.mkdir()
    (docs / "a.txt").write_text(
        "The red cat sleeps on the sofa all day. Income tax rose in the year 1990. A dog barks at night when the moon "
        "is full. The cat eats fish in the morning."
    )
    index = tmp_path / "index"
    assert ragkit("index", docs, "--index", index, "--config", settings).status == 0
    ask = ("query", "when does the dog bark", "--index", index, "--json")
    whole = ragkit(*ask).reply["hits"]
    kept = {name: ragkit(*ask, "--selector", name).reply["hits"] for name in ("score_cut", "tree_search")}
    assert len(kept["score_cut"]) == 1
    assert "dog" in kept["score_cut"][0]["text"]
    assert 1 <= len(kept["tree_search"]) <= len(whole)
    wrong = ragkit(*ask, "--selector", "tree_serch")
    assert wrong.status == 2
    assert "Did you mean 'tree_search'" in wrong.error["hint"]


@pytest.mark.parametrize(
    ("content", "asked"),
    [("selector: {name: score_cut}", [None]), ("retriever: {name: dense}", [])],
    ids=["named", "not named"],
)
def test_query_applies_the_selector_of_the_file_given(ragkit, script, tmp_path, content, asked):
    settings = tmp_path / "settings.yaml"
    settings.write_text(content)
    script.answers |= {"retrieve": [make_hit(1), make_hit(2)], "select": keep([make_hit(2)])}
    script.stored = PipelineConfig.from_mapping({"selector": {"name": "top_k", "k": 1}})
    reply = ragkit("query", "what?", "--index", "x", "--config", settings, "--json").reply
    assert [options["selector"] for name, _, options in script.calls if name == "select"] == asked
    assert [hit["rank"] for hit in reply["hits"]] == ([2] if asked else [1, 2])
    assert script.configs[-1].selector.name == ("score_cut" if asked else "top_k")


def test_query_help_does_not_promise_that_no_model_is_asked(ragkit):
    said = " ".join(ragkit("query", "--help").out.split())
    assert "no language model is involved" not in said
    assert "by selectors that ask one (rationale" in said
