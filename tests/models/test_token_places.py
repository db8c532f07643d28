"""Tokens' strings to exact places: byte-level and SentencePiece vocabularies, or a clear error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ServerError
from ragkit.models.serving.offsets import token_spans
from ragkit.testing.toy import ToyModel

TOY = ToyModel()
TEXTS = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("aé中🙂 \n▁Ġ")))


@given(TEXTS)
def test_bytes(text):
    ids = TOY.tokens(text)
    spans = token_spans(text, TOY.strings(ids), "url")
    content = text.encode()
    at = 0
    for token, (a, b) in zip(ids, spans.tolist(), strict=True):
        piece = TOY.pieces[token]
        inside = len(content[:at].decode(errors="ignore"))
        assert (a, b) == (
            inside,
            len((content[: at + len(piece)]).decode(errors="ignore")) + _splits(content, at, piece),
        )
        at += len(piece)


def _splits(content, at, piece):
    """Return 1 where the piece ends inside a character."""
    return int(at + len(piece) < len(content) and (content[at + len(piece)] & 0xC0) == 0x80)


def test_pieces():
    assert token_spans("to be\nor", ["▁to", "▁be", "<0x0A>", "or"], "url").tolist() == [[0, 2], [2, 5], [5, 6], [6, 8]]
    assert token_spans("中", ["<0xE4>", "<0xB8>", "<0xAD>"], "url").tolist() == [[0, 1]] * 3
    assert token_spans("a", ["▁", "a"], "url").tolist() == [[0, 0], [0, 1]]


def test_plain_and_escaped():
    assert token_spans("a 中", ["a", " ", "bytes:\\xe4\\xb8", "bytes:\\xad"], "url").tolist() == [
        [0, 1],
        [1, 2],
        [2, 3],
        [2, 3],
    ]
    assert token_spans("", [], "url").shape == (0, 2)


@pytest.mark.parametrize(("text", "tokens"), [("Café", ["cafe"]), ("ab", ["a"]), ("ab", ["a", "b", "c"]), ("a", [])])
def test_another_text_is_an_error(text, tokens):
    with pytest.raises(ServerError, match="not those of the text"):
        token_spans(text, tokens, "url")


@pytest.mark.models
def test_the_local_models_tokenizer(smollm_folder):
    from tokenizers import Tokenizer

    text = "Naïve café, 北京 and 🙂.\n\n  Indented\tcode();"
    encoding = Tokenizer.from_file(str(smollm_folder / "tokenizer.json")).encode(text, add_special_tokens=False)
    assert token_spans(text, encoding.tokens, "url").tolist() == [list(offsets) for offsets in encoding.offsets]
