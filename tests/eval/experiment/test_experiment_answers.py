"""Answers in experiments: what is asked, scored, judged, kept and paid for."""

from __future__ import annotations

import shutil

import pytest

from ragkit.config import PartConfig
from ragkit.errors import ModelError, UsageError
from ragkit.eval.cost_rows import per_question
from ragkit.eval.experiment.delivery import deliver
from ragkit.eval.experiment.metering import Metering
from ragkit.eval.experiment.questions import QuestionMemory
from ragkit.eval.experiment.replay import load_result, rescored, save
from ragkit.eval.experiment.run import RunOptions, run
from ragkit.eval.experiment.table import markdown
from ragkit.models.cache import CachedEmbedder, EmbeddingCache
from ragkit.models.hashing import HashingEmbedder
from ragkit.parts import language_model, watched
from ragkit.protocols import Segment
from ragkit.schema import Chunk, Chunked, Document

from .conftest import timeless

PLAIN = ["Recall@3", "EM", "TokenF1", "ROUGE_L", "LexicalFaithfulness", "CitationPrecision", "CitationRecall"]
JUDGED = ["JudgedFaithfulness", "JudgedRelevance", "JudgedContextPrecision", "JudgedContextRecall", "JudgedCorrectness"]
GRID = {"chunkers": ["recursive"], "sizes": [30], "retrievers": ["lexical", "none", "oracle"], "selectors": ["top_k"]}


@pytest.fixture
def answered(tmp_path, experiment, reader):
    """Return a function that runs an experiment with answers, with the given keys changed."""

    def run_it(work="work", sample=None, **changes):
        content = {
            "grid": GRID,
            "baseline": "recursive-30/lexical/top_k",
            "measures": [*PLAIN, "Abstention", "FalseRefusal"],
            "answer": {"model": {"name": "reader"}, "max_tokens": 20, "embedder": {"name": "hashing"}},
        }
        return run(experiment(**{**content, **changes}), RunOptions(work=tmp_path / work, sample=sample))

    return run_it


def judging(**changes):
    judge = {"name": "reader", "size": "judge"}
    return {"model": {"name": "reader"}, "judge": judge, "embedder": {"name": "hashing"}, **changes}


def means(part):
    return {measure: {name: round(found[0], 3) for name, found in of.items()} for measure, of in part.intervals.items()}


def test_every_system_answers_and_each_measure_counts_its_own_questions(answered):
    (part,) = answered().sets
    assert [found.system for found in part.runs] == ["recursive-30/lexical/top_k", "none", "oracle"]
    lexical, none, oracle = part.runs
    assert (len(part.counted), part.counted_by) == (40, {"Abstention": ["none"]})
    heron = lexical.answers["heron-1"]
    assert heron.text == "The heron hides its food in season 1. [1]"
    assert heron.plain == heron.reply == "The heron hides its food in season 1."
    ((document, start, end),) = heron.citations
    assert part.documents[document][start:end] == heron.plain
    assert part.counted_for("EM")[1] == "heron-1"
    assert lexical.scores["TokenF1"][1] == pytest.approx(2 * 3 / (3 + 7))
    assert lexical.scores["ROUGE_L"][1] == pytest.approx(2 * 3 / (3 + 8))
    found = means(part)
    assert found["Recall@3"]["oracle"] == found["CitationRecall"]["oracle"] == 1.0
    assert found["Recall@3"]["none"] == found["TokenF1"]["none"] == found["CitationPrecision"]["none"] == 0.0
    assert found["FalseRefusal"]["none"] == found["Abstention"]["none"] == 1.0
    assert found["Abstention"]["oracle"] == 1.0
    assert oracle.answers["none"].text is None
    assert none.answers["heron-1"].shown == []
    assert len(part.comparisons) == 9 * 2
    verdicts = {(item.measure, item.system): item.winner for item in part.comparisons}
    assert verdicts["FalseRefusal", "none"] == verdicts["TokenF1", "none"] == "recursive-30/lexical/top_k"
    assert any("such" not in note and "found no source" in note for note in part.notes)


def test_a_prompt_shows_the_best_source_last_and_a_closed_book_none(answered, reader):
    answered()
    closed = [text for text in reader.asked if text.startswith("Answer briefly.")]
    assert len(closed) == 41
    assert not any("season" in text for text in closed)
    (shown,) = [text for text in reader.asked if "that the otter digs" in text and "[5]" in text]
    assert "otter digs long tunnels in season 2" in shown.partition("[4]")[2]


def test_a_second_run_asks_nothing_and_says_the_same(answered, reader):
    first = answered(answer=judging(), measures=[*PLAIN, *JUDGED])
    counts = len(reader.asked), len(reader.judged)
    assert min(counts) > 80
    second = answered(answer=judging(), measures=[*PLAIN, *JUDGED])
    assert (len(reader.asked), len(reader.judged)) == counts
    assert timeless(first) == timeless(second)
    spent = second.sets[0].runs[0].cost["answers"]
    assert spent.from_cache == spent.calls == 41


def test_a_change_of_the_code_around_asks_no_model_again(answered, reader, monkeypatch):
    first = answered()
    count = len(reader.asked)
    monkeypatch.setattr("ragkit.eval.experiment.answers.code_hash", lambda *_: "other code")
    assert timeless(answered()) == timeless(first)
    assert len(reader.asked) == count


def test_an_interrupted_run_goes_on_where_it_was(answered, reader, monkeypatch):
    monkeypatch.setattr("ragkit.eval.experiment.answers.BATCH", 10)
    whole = answered(work="whole")
    total = len(reader.asked)
    reader.asked.clear()
    reader.stop_at = 35
    with pytest.raises(KeyboardInterrupt):
        answered()
    reader.asked.clear()
    reader.stop_at = 0
    assert timeless(answered()) == timeless(whole)
    assert len(reader.asked) == total - 30


def test_a_replay_scores_answers_and_judgements_without_any_model(tmp_path, answered, reader, monkeypatch):
    result = answered(answer=judging(), measures=[*PLAIN, *JUDGED, "AnswerSimilarity"])
    save(result, tmp_path / "out" / "results.json.gz")
    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(tmp_path / "work")
    monkeypatch.setattr(HashingEmbedder, "_embed", lambda *_: pytest.fail("a replay needs no model"))
    reader.asked.clear()
    reader.judged.clear()
    read = load_result(tmp_path / "out")
    assert timeless(rescored(read)) == timeless(result)
    assert read.judge.name == "reader-judge"
    other = rescored(read, ["JudgedCorrectness(weight=1.0)", "BLEU(n=2)", "Recall@2", "Abstention"])
    assert means(other.sets[0])["JudgedCorrectness(weight=1.0)"]["oracle"] == 1.0
    assert not reader.asked
    assert not reader.judged


def test_a_replay_refuses_what_the_result_does_not_hold(answered):
    result = answered()
    for measure, missing in (("JudgedRelevance", "judgements"), ("AnswerSimilarity", "similarities")):
        with pytest.raises(UsageError, match=f"hold no {missing}"):
            rescored(result, [measure])
    with pytest.raises(UsageError, match="hold no answers"):
        rescored(answered(answer=None, measures=["Recall@3"], grid=None, systems=[{"name": "a"}], baseline=""), ["EM"])


def test_judged_measures_are_those_of_the_judges_replies(answered):
    (part,) = answered(answer=judging(), measures=JUDGED).sets
    found = means(part)
    assert found["JudgedRelevance"] == {"recursive-30/lexical/top_k": 1.0, "none": 0.0, "oracle": 1.0}
    # a closed book has no source: it is not judged, and worth nothing
    assert found["JudgedFaithfulness"]["none"] == found["JudgedContextRecall"]["none"] == 0.0
    assert found["JudgedContextPrecision"]["oracle"] == 1.0
    assert part.unjudged == {}


def test_an_unjudged_answer_is_reported_and_never_a_zero(answered, reader):
    reader.broken = ("that the heron hides",)
    result = answered(answer=judging(), measures=["JudgedRelevance", "EM"])
    (part,) = result.sets
    assert part.unjudged == {"JudgedRelevance": {run.system: 1 for run in part.runs}}
    assert len(part.counted_for("JudgedRelevance")) == 39
    assert "heron-1" not in part.counted_for("JudgedRelevance")
    assert len(part.counted_for("EM")) == 40
    assert part.runs[0].answers["heron-1"].judged["relevance"].failure == "It does not fit."
    assert means(part)["JudgedRelevance"]["oracle"] == 1.0
    assert "answers without a score by the judge" in markdown(result)
    assert timeless(rescored(result)) == timeless(result)


def test_a_judge_that_fails_too_often_is_an_error_with_its_share(answered, reader):
    reader.broken = ("otter", "lynx")
    with pytest.raises(ModelError, match="reader-judge could not judge the relevance of 10 of 40 answers") as raised:
        answered(answer=judging(max_unjudged=0.2), measures=["JudgedRelevance"])
    assert "max_unjudged" in raised.value.hint
    (part,) = answered(answer=judging(max_unjudged=0.25), measures=["JudgedRelevance"]).sets
    assert len(part.counted_for("JudgedRelevance")) == 30


def test_costs_are_counted_apart_and_dollars_only_with_a_price(answered):
    price = {"input": 1.0, "output": 10.0}
    changed = judging(model={"name": "reader", "price": price})
    (part,) = answered(answer=changed, measures=["JudgedRelevance", "EM"]).sets
    for found in part.runs:
        calls = [answer.call for answer in found.answers.values() if answer.call]
        spent = found.cost["answers"]
        assert spent.calls == len(calls)
        assert spent.prompt_tokens == sum(call.prompt_tokens for call in calls)
        assert spent.dollars == pytest.approx((spent.prompt_tokens * 1.0 + spent.reply_tokens * 10.0) / 1_000_000)
        assert found.cost["judge"].dollars is None
        assert per_question(found, "dollars", 41) == pytest.approx(spent.dollars / 41)
        assert found.language_model.price == (1.0, 10.0)
    (part,) = answered().sets
    assert part.runs[0].cost["answers"].dollars is None
    assert per_question(part.runs[0], "dollars", 41) is None
    assert "judge" not in part.runs[0].cost


def test_systems_may_differ_in_their_model(answered):
    systems = [
        {"name": "a", "pipeline": {"retriever": "lexical"}},
        {"name": "b", "pipeline": {"retriever": "lexical", "language_model": {"name": "reader", "size": "big"}}},
    ]
    (part,) = answered(grid=None, systems=systems, baseline="").sets
    assert [found.language_model.name for found in part.runs] == ["reader-small", "reader-big"]


def test_a_budget_limits_the_sources_and_what_does_not_fit_is_said(answered):
    limited = {"model": {"name": "reader"}, "budget_tokens": 40}
    (part,) = answered(answer=limited).sets
    records = part.runs[0].answers
    texts = {name: document.split() for name, document in part.documents.items()}
    assert texts
    for query_id, record in records.items():
        hits = part.runs[0].hits[query_id]
        shown = [part.documents[hits.documents[at]][slice(*hits.spans[at])] for at in record.shown]
        assert sum(len(text.split()) for text in shown) <= 40
    (part,) = answered(answer={**limited, "budget_tokens": 1}).sets
    failed = part.runs[0].answers["heron-1"]
    assert failed.text is None
    assert "fits into 1 tokens" in failed.failure
    assert means(part)["TokenF1"]["recursive-30/lexical/top_k"] == 0.0
    assert any("could not be put to the model" in note for note in part.notes)


def test_a_measure_that_no_question_counts_for_is_left_out_with_a_note(answered):
    result = answered(sample=5, measures=["EM", "Abstention"])
    (part,) = result.sets
    if "none" not in {query.query_id for query in part.queries}:
        assert set(part.intervals) == {"EM"}
        assert "Abstention is not measured here: no question is unanswerable" in part.notes
    assert "| system |" in markdown(result)


def test_lexical_systems_alone_need_no_vectors(answered, monkeypatch):
    monkeypatch.setattr(HashingEmbedder, "embed_chunks", lambda *_: pytest.fail("nothing is to be embedded"))
    (part,) = answered().sets
    assert part.runs[0].chunks > 8
    assert part.runs[0].hits["lynx-2"].documents


def test_all_files_show_the_answers(tmp_path, answered):
    pytest.importorskip("matplotlib")
    files = {file.name: file for file in deliver(answered(), tmp_path / "out")}
    table = files["results.md"].read_text(encoding="utf-8")
    assert "Answers: reader-small." in table
    assert "| recursive-30/lexical/top_k | answers | 41 |" in table
    assert "not priced" in table
    page = files["report.html"].read_text(encoding="utf-8")
    assert "The heron hides its food in season 1. [1]" in page
    assert "Quality against cost in tokens" in page
    assert "Quality against cost in dollars" not in page


def test_the_models_of_chunkers_and_enrichers_are_metered(reader):
    metering = Metering()
    part = PartConfig(name="reader", options={"price": {"input": 2.0, "output": 4.0}})
    with watched(metering):
        model = language_model(part)
    assert metering.spent() is None
    model.generate_many([[Segment("One two three.")], [Segment("Four.")]], max_tokens=9)
    spent = metering.spent()
    assert (spent.calls, spent.from_cache) == (2, 0)
    assert spent.dollars == pytest.approx((spent.prompt_tokens * 2.0 + spent.reply_tokens * 4.0) / 1_000_000)
    assert min(spent.prompt_tokens, spent.reply_tokens) > 0
    language_model(part).generate([Segment("Five.")], max_tokens=9)
    assert metering.spent() == spent


def test_vectors_from_a_cache_are_told_from_computed_ones(tmp_path):
    embedder = HashingEmbedder(dimension=16)
    document = Document("One. Two. One.", "d")
    batch = [Chunked(document, [Chunk.of(document, start, start + 4) for start in (0, 5, 10)])]
    for computed in (2, 0):  # two texts, one of them twice
        cached = CachedEmbedder(embedder, EmbeddingCache(tmp_path / "vectors.sqlite", 16))
        cached.embed_chunks(batch)
        assert QuestionMemory(cached).computed == computed
        cached.close()
    assert QuestionMemory(embedder).computed is None


def test_how_many_vectors_were_computed_is_in_the_result(answered):
    grid = {"chunkers": ["recursive"], "sizes": [30], "retrievers": ["lexical", "hybrid"]}
    (part,) = answered(grid=grid, answer=None, measures=["Recall@3"], baseline="").sets
    assert [(found.embedded, found.cached_vectors) for found in part.runs] == [(part.runs[0].chunks, 0)] * 2


def test_a_result_over_one_question_can_be_read_again(tmp_path, answered):
    result = answered(measures=["Abstention"])
    assert result.sets[0].counted == ["none"]
    assert result.sets[0].comparisons[0].detectable == float("inf")
    save(result, tmp_path / "results.json.gz")
    assert load_result(tmp_path / "results.json.gz") == result
