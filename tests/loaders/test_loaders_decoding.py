from __future__ import annotations

import codecs

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ragkit.loaders.decoding import Decoded, decode

GERMAN = "Die Größe der Übung überrascht: Äpfel, Öl, Straße und Käse. " * 40


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_valid_utf8_is_returned_as_it_is(text: str) -> None:
    assume(text.count("\0") <= 0.1 * len(text.encode()))
    assume(not text.startswith(("\ufeff", "GIF8", "BZh", "ID3")))
    assert decode(text.encode()) == Decoded(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_byte_order_mark_decides_and_is_removed(encoding: str, text: str) -> None:
    # UTF-16-LE text that starts with NUL looks like UTF-32-LE with its mark: no decoder can tell.
    assume(not text.startswith("\0"))
    marks = {"utf-8": codecs.BOM_UTF8, "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    marks |= {"utf-32-le": codecs.BOM_UTF32_LE, "utf-32-be": codecs.BOM_UTF32_BE}
    decoded = decode(marks[encoding] + text.encode(encoding))
    assert decoded.text == text
    assert decoded.metadata == ({} if encoding == "utf-8" else {"encoding": encoding})


def test_a_broken_text_after_a_mark_is_refused_with_its_position() -> None:
    with pytest.raises(ValueError, match=r"byte order mark of UTF-16-LE, but byte 2 is not valid"):
        decode(codecs.BOM_UTF16_LE + b"a\0\x00\xd8")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_recognised_by_its_nuls(encoding: str) -> None:
    assert decode(GERMAN.encode(encoding)) == Decoded(GERMAN, encoding)


def test_a_nul_inside_text_is_text() -> None:
    assert decode(b"before\0after, and some more words") == Decoded("before\0after, and some more words")


@pytest.mark.parametrize("data", [bytes(100), b"ab\0\0cd\0\0" * 20, b"\0\x01\xff\xfe" * 50])
def test_mostly_nuls_are_binary(data: bytes) -> None:
    with pytest.raises(ValueError, match="looks binary"):
        decode(data)


@pytest.mark.parametrize(
    ("data", "name"),
    [(b"%PDF-1.7\n", "PDF"), (b"\x89PNG\r\n\x1a\nrest", "PNG"), (b"PK\x03\x04....word/document.xml", "DOCX")],
)
def test_known_formats_are_named(data: bytes, name: str) -> None:
    with pytest.raises(ValueError, match=f"looks binary: it holds {name}"):
        decode(data)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "cp1252"),
        ("The café’s owner said “hello” — it’s a naïve résumé of the year’s events. ", "cp1252"),
        ("Zażółć gęślą jaźń, a wieczorem pójdziemy na łąkę pod Łodzią. ", "cp1250"),
        ("Съешь ещё этих мягких французских булок, да выпей же чаю. ", "cp1251"),
        ("Съешь ещё этих мягких французских булок, да выпей же чаю. ", "koi8-r"),
        ("Ξεσκεπάζω την ψυχοφθόρα βδελυγμία και το ωραίο καλοκαίρι. ", "cp1253"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。", "shift_jis"),
        ("北京是中华人民共和国的首都，是全国的政治中心和文化中心。", "gb18030"),
        ("대한민국의 수도는 서울이며 많은 사람들이 살고 있습니다.", "euc-kr"),
    ],
)
@pytest.mark.parametrize("times", [1, 50])
def test_other_encodings_are_guessed_and_named(text: str, encoding: str, times: int) -> None:
    decoded = decode((text * times).encode(encoding))
    assert decoded.text == text * times
    assert decoded.metadata["encoding"] == decoded.encoding != "utf-8"
    assert not decoded.replaced


def test_a_guess_sees_the_first_odd_byte_far_into_the_text() -> None:
    text = "plain words and nothing else. " * 10_000 + GERMAN
    assert decode(text.encode("cp1252")).text == text


def test_one_bad_byte_does_not_turn_utf8_into_something_else() -> None:
    data = GERMAN.encode().replace(b"Stra", b"Stra\xff", 1)
    decoded = decode(data)
    assert decoded.text == GERMAN.replace("Stra", "Stra\ufffd", 1)
    assert decoded.metadata == {"replaced_characters": 1}


@pytest.mark.parametrize("odd", [b"\x81\x8d", b"\0\xff", b"\xff"])
def test_a_few_odd_bytes_in_plain_ascii_do_not_make_it_binary(odd: bytes) -> None:
    ascii_text = b"Nothing but plain English words in this sentence. " * 20
    decoded = decode(ascii_text[:501] + odd + ascii_text[501:])
    assert len(decoded.text) >= len(ascii_text)
    assert decoded.text.startswith(ascii_text[:501].decode())
    assert decoded.metadata


def test_a_declared_encoding_comes_after_utf8() -> None:
    assert decode("Größe".encode("cp1250"), declared="cp1250") == Decoded("Größe", "cp1250")
    assert decode("Größe".encode(), declared="cp1250") == Decoded("Größe")


@given(st.binary(max_size=200))
def test_any_bytes_give_text_or_a_reason(data: bytes) -> None:
    try:
        decode(data).text.encode()
    except ValueError as error:
        said = str(error)
    else:
        said = "text"
    assert said
    assert "codec can't" not in said
