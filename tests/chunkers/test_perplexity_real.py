"""The perplexity chunker with SmolLM2: real scores, windows, the cache, a document that does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from ragkit.chunkers.packing import Limits, TokenView
from ragkit.chunkers.perplexity import PerplexityChunker
from ragkit.chunkers.sentence_scores import mean_of_each, sentence_means
from ragkit.chunkers.units import Units
from ragkit.inference import Windows
from ragkit.models.local import LocalLanguageModel
from ragkit.models.words import WordTokenizer
from ragkit.schema import Document

TEXT = (
    "The dam was built in 1931. It held the water of two rivers. Farmers paid for it with three harvests. "
    "The wall is forty metres high. Copper prices fell in the last quarter. Mines in the north closed. "
    "Traders blamed a strong currency. Nobody expected a quick recovery. The recipe asks for two eggs. "
    "Beat them with sugar. Add flour and milk. Bake it for forty minutes."
)


@pytest.fixture
def model(smollm: LocalLanguageModel) -> LocalLanguageModel:
    return smollm


def test_it_cuts_a_short_text_and_windows_change_nothing_where_it_fits(model: LocalLanguageModel) -> None:
    document = Document(TEXT, source="test")
    options = {"policy": "fixed", "theta": 0.3}
    wide = PerplexityChunker(WordTokenizer(), model, 100, **options)  # type: ignore[arg-type]  # of many types
    exact = PerplexityChunker(WordTokenizer(), model, 100, window=256, stride=256, **options)  # type: ignore[arg-type]
    (one,), (other,) = wide.chunk([document]), exact.chunk([document])
    assert [chunk.text for chunk in one.chunks] == [chunk.text for chunk in other.chunks]
    assert 2 <= len(one.chunks) <= 6
    assert " ".join(chunk.text for chunk in one.chunks) == TEXT


def test_a_new_topic_is_expensive(model: LocalLanguageModel) -> None:
    (scores,) = model.score([TEXT], windows=Windows(256, 128))
    starts = [TEXT.index(sentence) for sentence in ("Copper", "The recipe")]
    topic = [scores.nll[int(np.searchsorted(scores.spans[:, 0], start)) :][:5].mean() for start in starts]
    assert min(topic) > scores.nll.mean()


def test_sentences_tokenised_alone_get_nearly_the_scores_of_the_whole_text(model: LocalLanguageModel) -> None:
    text = TEXT[:300]
    view = TokenView.of(text, WordTokenizer().offsets([text])[0], Limits(100))
    units = Units.of(Document(text, source="test"), view)
    (whole,) = model.score([text])
    starts = units.borders[:-1].tolist()
    alone = model.score(
        [units.unit(index) for index in range(len(units))], contexts=[text[:start].rstrip() for start in starts]
    )
    one, other = sentence_means(units, whole), mean_of_each(alone)
    assert isinstance(one, np.ndarray)
    assert isinstance(other, np.ndarray)
    assert np.corrcoef(one, other)[0, 1] > 0.9
