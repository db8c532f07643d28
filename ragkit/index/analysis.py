"""How a text becomes the terms of lexical search; chunks and questions go through the same steps.

Text is brought to Unicode form NFKC. Scripts written without spaces between words (Chinese, Japanese, Thai, Lao,
Khmer, Burmese) and Korean become overlapping pairs of characters, the usual substitute for a word list (compare the
CJK analyzer of Lucene). The rest is cut at everything that is not a letter or digit, lower-cased, stemmed by the
Snowball rules of the language and rid of accents, in this order because the rules of most languages look at accents.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Any

from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

from ragkit.errors import ConfigError
from ragkit.plugins import suggestion

LANGUAGES = (
    "none", "arabic", "danish", "dutch", "english", "finnish", "french", "german", "greek", "hungarian", "italian",
    "norwegian", "portuguese", "romanian", "russian", "spanish", "swedish", "tamil", "turkish",
)  # fmt: skip
"""Languages whose words can be stemmed; "none" leaves words as they are."""

LONGEST_TERM = 255
"""Bytes of the longest term that is kept: base64 and similar runs would only fill the dictionary."""

_UNSPACED = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Burmese
    "\u1100-\u11ff\uac00-\ud7af"  # Hangul
    "\u1780-\u17ff"  # Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "]+"
)


def analyzable(text: str) -> str:
    """Return `text` normalised, with runs of unspaced scripts as pairs of characters with spaces between.

    >>> analyzable("BM25 搜索引擎")
    'BM25  搜索 索引 引擎 '
    """
    if text.isascii():
        return text
    try:
        text = unicodedata.normalize("NFKC", text)
        text.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate in a question, for instance from a terminal with the wrong encoding
        text = text.encode("utf-8", "replace").decode("utf-8")
    return _UNSPACED.sub(_pairs, text)


def analyzer(language: str) -> Any:
    """Return the Tantivy analyzer that turns `analyzable(text)` into terms.

    Raises ConfigError for a language without stemming rules.
    """
    if language not in LANGUAGES:
        raise ConfigError(
            f"Lexical search knows no language {language!r}.",
            hint=f"{suggestion(language, list(LANGUAGES))} Languages: {', '.join(LANGUAGES)}.".lstrip(),
        )
    chain = TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.remove_long(LONGEST_TERM)).filter(Filter.lowercase())
    if language != "none":
        chain = chain.filter(Filter.stemmer(language.capitalize()))
    return chain.filter(Filter.ascii_fold()).build()


def _pairs(run: re.Match[str]) -> str:
    characters = run.group()
    if len(characters) == 1:
        return f" {characters} "
    return f" {' '.join(map(''.join, pairwise(characters)))} "
