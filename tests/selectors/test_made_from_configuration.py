"""Selectors and rerankers from YAML and by name: what is made, what is refused, end to end on an index."""

import pytest

from ragkit.config import PipelineConfig
from ragkit.errors import ConfigError, UnknownPartError
from ragkit.models.hashing import HashingEmbedder
from ragkit.parts import check_part, make_reranker, make_selector
from ragkit.pipeline import Pipeline
from ragkit.rerankers.fusion import FusionReranker
from ragkit.rerankers.likelihood import LikelihoodReranker
from ragkit.schema import Document
from ragkit.selectors.score_cut import ScoreCutSelector
from ragkit.selectors.tree_search import TreeSearchSelector

BASE = {"chunker": {"name": "sentence", "size": 12}, "embedder": {"name": "hashing"}, "retriever": {"name": "lexical"}}
TEXT = (
    "The red cat sleeps on the sofa all day. Income tax rose in the year 1990 by two percent. "
    "A dog barks at night when the moon is full. The cat eats fish in the morning."
)


def count(texts):
    return [len(text.split()) for text in texts]


def config(selector):
    return PipelineConfig.from_mapping({**BASE, "selector": selector})


def refuse():
    raise AssertionError("no embedder is needed")


def test_what_a_word_makes():
    made = make_selector(config({"name": "score_cut"}), None, count, HashingEmbedder)
    assert isinstance(made, ScoreCutSelector)
    assert made.select("q", []).hits == ()
    assert isinstance(make_selector(config("top_k"), "tree_search", count, refuse), TreeSearchSelector)
    bare = config({"name": "score_cut", "reranker": "none"})
    assert isinstance(make_selector(bare, None, count, refuse), ScoreCutSelector)


def test_rerankers_with_their_resources():
    likelihood = config({"name": "score_cut", "reranker": {"name": "likelihood", "model": "cache"}})
    check_part("selectors", likelihood.selector)
    assert isinstance(make_selector(likelihood, None, count, refuse), ScoreCutSelector)
    chosen = config({"name": "x", "reranker": "fusion"}).selector.options["reranker"]
    assert isinstance(make_reranker(config(chosen).selector, HashingEmbedder), FusionReranker)
    nested = {"name": "fusion", "rerankers": ["bm25", {"name": "likelihood", "model": "cache"}], "weights": [2, 1]}
    check_part("selectors", config({"name": "score_cut", "reranker": nested}).selector)
    fusion = make_reranker(config(nested).selector, refuse)
    assert isinstance(fusion._members[1], LikelihoodReranker)


@pytest.mark.parametrize(
    ("selector", "error", "said"),
    [
        ({"name": "score_cut", "polizy": "drop"}, ConfigError, "Did you mean 'policy'"),
        ({"name": "score_cut", "rerank": "bm25"}, ConfigError, "Did you mean 'reranker'"),
        ({"name": "score_cut", "reranker": "bm52"}, UnknownPartError, "Did you mean 'bm25'"),
        ({"name": "score_cut", "reranker": 3}, ConfigError, "cannot name 3"),
        ({"name": "score_cut", "reranker": {"name": "bm25", "k3": 1}}, ConfigError, "no option 'k3'"),
        ({"name": "score_cut", "reranker": {"name": "fusion", "rerankers": "bm25"}}, ConfigError, "expected a list"),
        ({"name": "score_cut", "reranker": {"name": "fusion", "rerankers": ["b"]}}, UnknownPartError, "named 'b'"),
        (
            {"name": "score_cut", "reranker": {"name": "likelihood", "model": {"name": "lokal"}}},
            UnknownPartError,
            "Did you mean 'local'",
        ),
        ({"name": "tree_search", "mode": "papers"}, ConfigError, "cannot be 'papers'"),
        ({"name": "tree_search", "depth": 3}, ConfigError, "no option 'depth'"),
    ],
)
def test_mistakes_are_refused_before_anything_is_made(selector, error, said):
    with pytest.raises(error, match=said):
        check_part("selectors", config(selector).selector)


def test_selectors_of_a_plugin_without_a_reranker_are_left_alone():
    made = make_selector(config({"name": "mmr", "k": 2}), None, count, refuse)
    assert made.name == "mmr"


def test_the_language_is_that_of_the_index():
    for part, given, wanted in (("bm25", {}, "french"), ("bm25", {"language": "none"}, "none")):
        reranker = {"name": part, **given}
        selector = {"name": "score_cut", "reranker": reranker}
        french = PipelineConfig.from_mapping({**BASE, "language": "french", "selector": selector})
        assert make_selector(french, None, count, refuse)._reranker._language == wanted
        assert make_selector(french, "tree_search", count, refuse)._language == "french"


@pytest.fixture
def pipeline(tmp_path):
    with Pipeline(tmp_path / "index", config({"name": "tree_search", "tokens": 20})) as made:
        made.language_model = type("Words", (), {"count": staticmethod(count)})()
        made.add([Document(TEXT, "animals.txt")])
        yield made


def test_on_an_index(pipeline):
    hits = pipeline.retrieve("where does the cat sleep", 4)
    tree = pipeline.select("where does the cat sleep", hits)
    assert 0 < tree.tokens <= 20
    assert tree.trace["value"] == "coverage"
    cut = pipeline.select("where does the cat sleep", hits, selector="score_cut")
    assert cut.hits
    assert cut.trace["reranker"] == "cosine"
    assert cut.trace["calibration"] == {"name": "clamp"}
    assert {len(one.hits) + len(one.dropped) for one in (tree, cut)} == {len(hits)}
