"""The selector `configured`: from YAML, by name, on an index; what it says, what it refuses."""

import json

import numpy as np
import pytest

from ragkit.answering.explain import explain
from ragkit.cli.explaining import _decisions
from ragkit.config import PipelineConfig
from ragkit.errors import ConfigError, UnknownPartError
from ragkit.eval.experiment.named_files import named_files
from ragkit.models.hashing import HashingEmbedder
from ragkit.parts import check_part, make_selector, selector_part
from ragkit.pipeline import Pipeline
from ragkit.schema import Answer, Document
from ragkit.selectors.agent_file import AgentFile, Aim, SettingRecord, Source, stored

BASE = {"chunker": {"name": "sentence", "size": 12}, "embedder": {"name": "hashing"}, "retriever": {"name": "lexical"}}
TEXT = (
    "The red cat sleeps on the sofa all day. Income tax rose in the year 1990 by two percent. "
    "A dog barks at night when the moon is full. The cat eats fish in the morning."
)
CAT, TAX = "where does the red cat sleep", "how much income tax was paid in 1990"
SETTINGS = [SettingRecord(name="top_k", options={"k": 1}), SettingRecord(name="tree_search", options={"tokens": 22})]


def count(texts):
    return [len(text.split()) for text in texts]


@pytest.fixture
def agent_path(tmp_path):
    """An agent that gives questions about cats one chunk, and those about taxes a tree search."""
    embedder = HashingEmbedder()
    vectors = np.asarray(embedder.embed_queries([CAT, TAX]), np.float64)
    AgentFile(
        embedder=embedder.fingerprint,
        dimension=vectors.shape[1],
        data=[Source(name="set", fingerprint="f", questions=2)],
        aim=Aim(measure="Recall", cost=0.2, budget=1000, candidates=50, tokenizer="words"),
        rule="utility",
        neighbours=1,
        prior=0.0,
        least_cosine=0.3,
        default=SettingRecord(name="top_k", options={"k": 3}),
        settings=SETTINGS,
        questions=[CAT, TAX],
        features=stored(vectors)[0],
        utilities=[[0.9, 0.1], [0.2, 0.8]],
    ).write(tmp_path / "agent.json")
    return tmp_path / "agent.json"


def pipeline_with(tmp_path, selector):
    made = Pipeline(tmp_path / "index", PipelineConfig.from_mapping({**BASE, "selector": selector}))
    made.language_model = type("Words", (), {"count": staticmethod(count)})()
    made.add([Document(TEXT, "animals.txt")])
    return made


def test_each_question_gets_the_settings_of_its_neighbour(tmp_path, agent_path):
    with pipeline_with(tmp_path, {"name": "configured", "agent": str(agent_path)}) as pipeline:
        hits = pipeline.retrieve("cat tax dog income", 4)
        cat, tax, odd = (pipeline.select(one, hits) for one in (CAT + "?", TAX, "zzz qqq"))
        assert len(cat.hits) == 1
        assert cat.trace["agent"]["chosen"] == {"name": "top_k", "k": 1}
        assert cat.trace["agent"]["neighbours"][0]["question"] == CAT
        assert tax.trace["agent"]["settings"] == "tree_search(tokens=22)"
        assert tax.trace["value"] == "coverage"  # the chosen selector's own trace is there too
        assert tax.tokens <= 22
        assert len(odd.hits) == 3
        assert odd.trace["agent"]["fallback"]
        assert "nearest known question has a cosine" in odd.trace["agent"]["reason"]
        assert pipeline.select(CAT, hits, limit=0).hits == ()


def test_people_read_who_was_asked(tmp_path, agent_path):
    with pipeline_with(tmp_path, "top_k") as pipeline:
        hits = pipeline.retrieve("cat tax dog income", 4)
        found = pipeline.select(TAX, hits, selector=selector_part(pipeline.config, f"configured:{agent_path}"))
    explained = explain(Answer(TAX, "?", "tiny", trace={"selection": dict(found.trace)}))
    lines = list(_decisions(explained))
    assert explained.selector == "tree_search"
    assert lines[0].startswith("Settings of this question: tree_search(tokens=22); worth 0.800 over 1 neighbours")
    assert lines[1] == f"The agent was trained on 50 chunks a question; {len(hits)} were given."
    assert lines[2] == f"Neighbour 1 (cosine 1.00; best: tree_search(tokens=22); chosen: 0.800): {TAX}"


def test_a_default_of_ones_own(tmp_path, agent_path):
    selector = {"name": "configured", "agent": str(agent_path), "default": {"name": "top_k", "k": 2}}
    check_part("selectors", PipelineConfig.from_mapping({**BASE, "selector": selector}).selector)
    with pipeline_with(tmp_path, selector) as pipeline:
        assert len(pipeline.select("zzz", pipeline.retrieve("cat tax dog income", 4)).hits) == 2


def refused(selector, embedder=HashingEmbedder):
    config = PipelineConfig.from_mapping({**BASE, "selector": selector})
    return make_selector(config, None, count, embedder).select(CAT, [])


def test_what_is_refused(agent_path):
    other = lambda: HashingEmbedder(dimension=128)  # noqa: E731 - two words
    with pytest.raises(ConfigError, match="trained with another embedder than hashing"):
        refused({"name": "configured", "agent": str(agent_path)}, other)
    with pytest.raises(ConfigError, match="needs the option 'agent'"):
        refused("configured")
    with pytest.raises(ConfigError, match="No such file"):
        refused({"name": "configured", "agent": "nothing.json"})
    with pytest.raises(ConfigError, match="expected another selector"):
        refused({"name": "configured", "agent": str(agent_path), "default": "configured"})
    text = agent_path.read_text().replace('"top_k", "options": {"k": 1}', '"top_x", "options": {"k": 1}')
    agent_path.write_text(text)
    with pytest.raises(UnknownPartError, match="Did you mean 'top_k'"):
        refused({"name": "configured", "agent": str(agent_path)})


def test_an_experiment_sees_that_an_agent_was_trained_again(agent_path):
    options = {"agent": str(agent_path), "default": {"name": "top_k"}}
    before = named_files(options)
    assert before[0][0] == str(agent_path)
    agent_path.write_text(agent_path.read_text() + " ")
    assert named_files(options) != before
    assert named_files({"reranker": [{"path": str(agent_path)}]}) == named_files(options)
    model = agent_path.parent / "reranker"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"one")
    of_model = named_files({"reranker": {"name": "cross_encoder", "model": str(model)}})
    (model / "model.safetensors").write_bytes(b"two")
    assert named_files({"reranker": {"name": "cross_encoder", "model": str(model)}}) != of_model


def test_the_trace_of_a_cut_names_the_policys_options_only(tmp_path):
    with pipeline_with(tmp_path, {"name": "score_cut", "policy": "drop"}) as pipeline:
        found = pipeline.select(CAT, pipeline.retrieve("cat tax dog income", 4))
    json.dumps(dict(found.trace))  # in JSON's types, as Selection has it
    assert "invariances" not in found.trace["policy"]
    assert found.trace["policy"]["name"] == "drop"


def test_the_weight_of_trust_reaches_the_selector_that_was_chosen(tmp_path, agent_path):
    content = json.loads(agent_path.read_text())
    judged = {"name": "score_cut", "options": {"reranker": "cosine", "policy": {"name": "fixed", "k": 1}}}
    agent_path.write_text(json.dumps(content | {"settings": [judged, judged], "default": judged}))
    rules = [{"where": "start = 0", "trust": 0.001}]
    plain, trusting = (
        pipeline_with(
            tmp_path / name,
            {"name": "configured", "agent": str(agent_path), "trust": {"weight": 1, "missing": 1, "rules": given}},
        )
        for name, given in (("plain", []), ("trusting", rules))
    )
    first = plain.select(CAT, plain.retrieve(CAT, k=5))
    second = trusting.select(CAT, trusting.retrieve(CAT, k=5))
    assert [one.chunk.start for one in first.hits] == [0]
    assert [one.chunk.start for one in second.hits] != [0]
    assert second.trace["agent"]["chosen"]["name"] == "score_cut"
