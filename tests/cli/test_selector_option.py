"""`--selector score_cut` and `--selector tree_search` on a real index, by name and from a YAML file."""

import pytest

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
