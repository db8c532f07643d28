"""Prompts, citations and whole answers, with a scripted model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.answering.answer import answer
from ragkit.answering.cite import cite
from ragkit.answering.nothing import NOTHING_FOUND, why_nothing
from ragkit.answering.prompt import build_prompt, prompt_tokens, source_limit
from ragkit.budget import Budget
from ragkit.errors import ModelError
from ragkit.schema import Chunk, Document, Dropped, Hit, Selection
from ragkit.selectors.top_k import TopKSelector
from ragkit.selectors.trust import Trust, TrustedSelector

TEXT = "Intro.\n\nThe bridge opened in 1931.\nIt is 1,240 metres long. Nobody paints it.\n"
OTHER = "Swallows spend the winter in Africa. They return in April."


def hit(text, rank, start=0, line=1):
    document = Document(text, f"file{rank}.md")
    chunk = Chunk.of(document, start, len(text))
    return Hit(rank, 1.0 / rank, f"chunk{rank}", chunk, document.source, None, line)


HITS = [hit(TEXT, 1, start=8, line=3), hit(OTHER, 2)]


class Scripted:
    """A model that says what it is told to; a token is a word."""

    name = "scripted"
    fingerprint = "scripted"
    template_tokens = 0

    def __init__(self, reply, window=1000):
        self.reply = reply
        self.window = window
        self.prompts = []

    def count(self, texts):
        return [len(text.split()) for text in texts]

    def generate(self, prompt, *, max_tokens, meter=None):
        self.prompts.append(prompt)
        if meter is not None:
            meter.spend("generate", tokens=prompt_tokens(self, prompt))
        return self.reply


def documents(cited):
    texts = {one.chunk.doc_id: text for one, text in zip(HITS, (TEXT, OTHER), strict=True)}
    return [texts[citation.doc_id][citation.start : citation.end] for citation in cited.citations]


def test_markers_are_ours_in_order_of_use_and_resolve():
    cited = cite("They return in April. The bridge opened in 1931. In April they return.", "When?", HITS)
    assert cited.text == "They return in April. [1] The bridge opened in 1931. [2] In April they return. [1]"
    assert [citation.text for citation in cited.citations] == documents(cited)
    assert [citation.marker for citation in cited.citations] == [1, 2]
    assert (cited.citations[1].source, cited.citations[1].line) == ("file1.md", 3)
    assert cited.unsupported == ()


def test_the_line_of_a_citation_is_its_own():
    (citation,) = cite("It is 1240 metres long.", "How long is the bridge?", HITS).citations
    assert citation.text == "It is 1,240 metres long."
    assert citation.line == 4


def test_the_models_own_markers_are_checked_not_believed():
    cited = cite("The bridge opened in 1931 [1]. They return in April. [1] It has 7 lanes [2].", "When?", HITS)
    assert cited.text == "The bridge opened in 1931. [1] They return in April. [2] It has 7 lanes."
    assert (cited.agreed, cited.disagreed) == (1, 2)
    assert cited.unsupported == ("It has 7 lanes.",)


def test_other_brackets_stay():
    assert cite("Use row[1] and [7].", "q", HITS).text == "Use row[1] and [7]."


def test_space_and_lists_stay():
    cited = cite("- They return in April\n- Elephants fly\n\nYes.", "When?", HITS)
    assert cited.text == "- They return in April [1]\n- Elephants fly\n\nYes."
    assert cited.unsupported == ("- Elephants fly",)


@given(st.text(alphabet=st.sampled_from("The bridge opened in 1931. []12,\nApril!中"), max_size=80))
def test_citations_of_any_reply_resolve(reply):
    cited = cite(reply, "When did the bridge open?", HITS)
    assert [citation.text for citation in cited.citations] == documents(cited)
    assert [citation.marker for citation in cited.citations] == list(range(1, len(cited.citations) + 1))


def test_the_prompt_has_the_sources_first_and_names_their_chunks():
    prompt = build_prompt("When? ", HITS)
    text = "".join(segment.text for segment in prompt)
    assert [segment.text for segment in prompt if segment.chunk_id] == [TEXT[8:], OTHER]
    assert text.index("[1] The bridge") < text.index("[2] Swallows") < text.index("When?")
    longer = "".join(segment.text for segment in build_prompt("Another question?", HITS))
    assert longer.startswith(text[: text.index("When?") - 60])


def test_sources_within_the_limit_always_fit():
    model = Scripted("", window=400)
    limit = source_limit(model, "When did it open?", max_tokens=50)
    assert 0 < limit < 350
    many = [hit("word " * (limit // 8), rank) for rank in range(1, 9)]
    reply = answer("When did it open?", Selection(tuple(many)), model, max_tokens=50)
    assert reply.trace["prompt_tokens"] + 50 <= 400
    assert reply.trace["dropped"] == []
    with pytest.raises(ModelError, match="leave no room for sources"):
        source_limit(model, "When?", max_tokens=390)


def test_what_does_not_fit_is_dropped_with_the_numbers():
    model = Scripted("They return in April.", window=90)
    reply = answer("When?", Selection((HITS[1], hit("word " * 80, 3))), model, max_tokens=20)
    (dropped,) = reply.trace["dropped"]
    assert dropped["chunk_id"] == "chunk3"
    assert "scripted reads 90" in dropped["reason"]
    assert reply.trace["kept"] == ["chunk2"]
    with pytest.raises(ModelError, match="Not one source fits"):
        answer("When?", Selection((hit("word " * 80, 3),)), model, max_tokens=20)


def test_a_whole_answer_and_its_trace():
    selection = Selection((HITS[1],), (Dropped(HITS[0], "rank 2 is beyond the best 1"),), 9)
    model = Scripted("They return in April [1]. They weigh 20 grams.")
    reply = answer(
        "When do swallows return?",
        selection,
        model,
        max_tokens=30,
        meter=Budget(tokens=500).meter(),
        hits=HITS,
        seconds={"retrieve": 0.5},
    )
    assert reply.text == "They return in April. [1] They weigh 20 grams."
    assert reply.unsupported == ("They weigh 20 grams.",)
    assert reply.model == "scripted"
    trace = reply.trace
    assert [one["chunk_id"] for one in trace["hits"]] == ["chunk1", "chunk2"]
    assert trace["dropped"][0]["reason"] == "rank 2 is beyond the best 1"
    assert trace["markers"] == {"agreed": 1, "disagreed": 0}
    assert set(trace["seconds"]) == {"retrieve", "generate", "align"}
    assert trace["spent"]["tokens"] == trace["prompt_tokens"]
    assert trace["answer_tokens"] == 9


def test_nothing_selected_nothing_asked():
    model = Scripted("invented")
    reply = answer("When?", Selection((), (Dropped(HITS[0], "too long"),)), model)
    assert reply.text == "The only chunk found is not used:\n- 1: too long"
    assert model.prompts == []
    assert not reply.citations
    assert reply.trace["model_called"] is False
    assert reply.trace["dropped"][0]["reason"] == "too long"
    assert answer("When?", Selection(()), model).text == NOTHING_FOUND


def test_nothing_is_kept_for_the_true_reasons():
    many = [hit(f"Text {rank}.", rank) for rank in range(1, 8)]
    dropped = [
        *(Dropped(one, f"needs {800 + one.rank} tokens; 0 of the limit of 450 are taken") for one in many[4:1:-1]),
        Dropped(many[0], "its trust is 0.2; at least 0.5 is wanted", ("distrusted",)),
        Dropped(many[1], "its trust is 0 (no 'trust'); at least 0.5 is wanted", ("distrusted",)),
        Dropped(many[5], "flagged as factual (95 %): no", ("factual",)),
        Dropped(many[6], "flagged as factual (95 %): no", ("factual",)),
    ]
    assert why_nothing(many, dropped).splitlines() == [
        "None of the 7 chunks found is used:",
        "- 2 (distrusted): the first of them: its trust is 0.2; at least 0.5 is wanted",
        "- 3: the first of them: needs 803 tokens; 0 of the limit of 450 are taken",
        "- 2 (factual): flagged as factual (95 %): no",
    ]
    assert why_nothing(many[:2], ()) == "None of the 2 chunks found is used."
    others = [Dropped(one, "x" * one.rank) for one in many]
    assert why_nothing(many, others).splitlines()[-1] == "- 3: for other reasons"


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        (TrustedSelector(TopKSelector(5, Scripted("").count), Trust(min=0.5)), "- 2 (distrusted): its trust is 0 ("),
        (TopKSelector(5, Scripted("").count), "- 2: the first of them: needs 13 tokens; 0 of the limit of 3 are taken"),
    ],
    ids=["distrusted", "too long"],
)
def test_what_a_selector_turns_out_whole_is_not_called_not_found(selector, said):
    reply = answer("When?", selector.select("When?", HITS, 3), Scripted("invented"), hits=HITS)
    assert reply.text.startswith("None of the 2 chunks found is used:\n" + said)
