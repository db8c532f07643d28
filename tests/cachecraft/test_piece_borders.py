"""Pieces tokenised one by one are the tokens of the joined prompt: real texts, and tokenizers of several families."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ragkit.answering.prompt import build_prompt
from ragkit.cachecraft.borders import differences
from ragkit.cachecraft.groups import grouped, stripped
from ragkit.cachecraft.pieces import Pieces
from ragkit.models.chat_template import prompt_ids
from ragkit.protocols import Segment
from ragkit.schema import Chunk, Hit

ROOT = Path(__file__).parents[2]
SETS = ["cmrc2018_a", "musique", "policyqa_dev", "scifact", "squad_a", "tatqa_dev"]
ODD = [
    " leading",
    "\n\nleading break",
    "\tleading tab",
    "   ",
    "trailing  ",
    "trailing \n \n",
    "crlf\r\n",
    '"Quoted." she said',
    "'s and 't",
    "1984 was 12,345.67 %",
    "（全角）中文。",
    "\u0301combining",
    "\u00a0no break",
    "\U0001f600 emoji",
    "- item\n- item",
    "```python\nif a:\n    b()\n```",
    "(((",
    "[2] a label",
    "...",
    "<|not special|>",
]
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def asked(texts: list[str], question: str = "What is it?") -> list[Segment]:
    """Return a prompt as `ragkit ask` writes it."""
    chunks = [Chunk("d", 0, len(text), text) for text in texts]
    return build_prompt(question, [Hit(at, 1.0, f"c{at}", one, "a.md", None, None) for at, one in enumerate(chunks)])


def check(pieces: Pieces, tokenizer, texts: list[str], question: str = "What is it?") -> None:
    """Compare the pieces of a prompt with its joined text, and with the chunks as they are built ahead."""
    prompt = asked(texts, question)
    layout = pieces.layout(prompt)
    joined = prompt_ids(tokenizer, "".join(segment.text for segment in prompt))
    assert layout.ids.tolist() == joined, texts
    assert layout.borders == 0
    ahead = [pieces.chunk(text).tolist() for text in texts if text]
    assert [layout.pieces[at].ids.tolist() for at in layout.chunks] == ahead


def cuts(text: str, rng: random.Random) -> str:
    start = rng.randrange(len(text))
    return text[start : start + rng.randrange(1, 600)]


@pytest.mark.parametrize("name", SETS)
def test_the_pieces_of_real_texts_are_the_tokens_of_the_joined_prompt(pieces, tokenizer, records, name):
    rng = random.Random(0)
    texts = [record["text"] for record, _ in zip(records(name, "corpus"), range(60), strict=False)]
    questions = [record["question"] for record, _ in zip(records(name, "queries"), range(12), strict=False)]
    for question in questions:
        check(pieces, tokenizer, [cuts(rng.choice(texts), rng) for _ in range(4)], question)


@pytest.mark.parametrize("pattern", ["ragkit/**/*.py", "docs/*.md"])
def test_so_are_those_of_code_and_markdown(pieces, tokenizer, pattern):
    rng = random.Random(1)
    texts = [path.read_text(encoding="utf-8") for path in sorted(ROOT.glob(pattern))[:40]]
    texts = [text for text in texts if text]
    for _ in range(12):
        check(pieces, tokenizer, [cuts(rng.choice(texts), rng) for _ in range(4)])


@pytest.mark.parametrize("question", ["What?", "  What\n\n", "[3] 7?", "为什么"])
def test_so_are_those_of_odd_texts(pieces, tokenizer, question):
    for text in ODD:
        check(pieces, tokenizer, [text, "A text.", text, text], question)


@given(st.lists(st.text(alphabet="a' .\n\t1é中[(<\r", min_size=1, max_size=12), min_size=1, max_size=4))
def test_so_are_those_of_any_texts(pieces, tokenizer, texts):
    check(pieces, tokenizer, texts)


def trained(bare: Tokenizer, **settings) -> PreTrainedTokenizerFast:
    """Return a tokenizer trained on ragkit's own pages."""
    files = [str(path) for path in sorted((ROOT / "docs").glob("*.md"))]
    bare.train(files, trainers.BpeTrainer(vocab_size=3000, special_tokens=["<s>", "</s>", "<unk>"], **settings))
    return PreTrainedTokenizerFast(tokenizer_object=bare, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def byte_level(pattern: str) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer with the words of a pattern, as of Llama 3."""
    bare = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bare.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    bare.decoder = decoders.ByteLevel()
    return trained(bare, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)


def sentencepiece() -> PreTrainedTokenizerFast:
    """Return a BPE tokenizer over texts whose spaces are letters, with one in front, as of Llama 2."""
    bare = Tokenizer(models.BPE(unk_token="<unk>"))
    bare.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    bare.pre_tokenizer = pre_tokenizers.Split(Regex("\u2581?[^\u2581\n]+|\n|\u2581"), behavior="isolated")
    bare.decoder = decoders.Metaspace()
    return trained(bare, show_progress=False)


TEMPLATES = {
    "none": None,
    "chatml": "{% for m in messages %}<s>{{ m['role'] }}\n{{ m['content'] }}</s>\n{% endfor %}<s>assistant\n",
    "llama3": "<s>user\n\n{{ messages[0]['content'] | trim }}</s><s>assistant\n\n",
    "bare": "User: {{ messages[0]['content'] }}\nAssistant:",
    "inst": "<s>[INST] {{ messages[0]['content'] }} [/INST]",
}


@pytest.fixture(scope="module")
def families():
    return {"byte level": byte_level(LLAMA3), "sentencepiece": sentencepiece()}


@pytest.mark.parametrize("family", ["byte level", "sentencepiece"])
@pytest.mark.parametrize("template", TEMPLATES)
def test_other_families_and_templates(families, family, template):
    other = families[family]
    other.chat_template = TEMPLATES[template]
    made = Pieces(other)
    for text in ["The share of tokens.", "A trailing break\n", "(quoted) 'it'", "12 of 40", "多少", "if a:\n    b()"]:
        check(made, other, [text, "A policy is chosen.", text])


def test_a_vocabulary_that_merges_over_the_label_is_counted(families):
    letters = {letter: number for number, letter in enumerate("abc []\n?1<>U:sertAin2", 1)}
    vocabulary = {"<unk>": 0, **letters, "] ": 40, "] a": 41}
    bare = Tokenizer(models.BPE(vocabulary, [("]", " "), ("] ", "a")], unk_token="<unk>"))
    other = PreTrainedTokenizerFast(tokenizer_object=bare, unk_token="<unk>")
    prompt = [Segment("[1] "), Segment("abc", "a"), Segment("\n\n[2] "), Segment("ba", "b"), Segment("\n\nb?")]
    layout = Pieces(other).layout(prompt)
    assert layout.borders == 2
    assert other.decode(layout.ids.tolist()).replace(" ", "") == "[1]abc\n\n[2]ba\n\nb?"


def test_places_that_differ_are_counted_once_each():
    assert differences(["ab", "c", "d", "ef"], ["a", "bc", "d", "e", "f"]) == 2
    assert differences(["ab"], ["ab", "c"]) == 1
    assert differences(["x"], ["y"]) == 1, "of one length, and yet not the same"


def test_spaces_go_to_the_chunk_and_nothing_is_lost():
    prompt = [Segment("Sources: \t"), Segment("", "empty"), Segment("a", "a"), Segment(" "), Segment("b", "b")]
    found = grouped([*prompt, Segment(" c")])
    assert found == [(False, "Sources:"), (True, " \ta"), (True, " b"), (False, " c")]
    assert stripped([(False, " \n"), (True, " a "), (False, "\n")]) == [(True, "a")]
