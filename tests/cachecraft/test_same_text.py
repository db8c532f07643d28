"""With everything computed again, chunk reuse answers word for word what the plain model answers, on real questions."""

from __future__ import annotations

from itertools import islice

import pytest

from ragkit.answering.prompt import build_prompt
from ragkit.cachecraft.language_model import ReusingLanguageModel
from ragkit.cachecraft.report import collected_reports
from ragkit.config import KvReuseConfig
from ragkit.schema import Chunk, Hit

QUESTIONS = 6


def shown(question: str, texts: list[str]) -> list:
    """Return a prompt as `ragkit ask` writes it."""
    chunks = [Chunk("d", 0, len(text), text) for text in texts]
    return build_prompt(question, [Hit(at, 1.0, f"c{at}", one, "a.md", None, None) for at, one in enumerate(chunks)])


@pytest.mark.parametrize("name", ["squad_a", "tatqa_dev"])
def test_at_share_one_the_text_is_that_of_the_plain_model(smollm, records, tmp_path, name):
    asked = list(islice((one for one in records(name, "queries") if one.get("evidence")), QUESTIONS))
    texts = [one["evidence"][0]["text"][:500] for one in asked]
    model = ReusingLanguageModel(smollm, smollm, KvReuseConfig(store=str(tmp_path), share=1.0, gate=False))
    with collected_reports() as reports:
        for at, one in enumerate(asked):
            around = [texts[(at + 1) % QUESTIONS], texts[at], texts[(at + 2) % QUESTIONS]]
            prompt = shown(one["question"], around)
            assert model.generate(prompt, max_tokens=16) == smollm.generate(prompt, max_tokens=16)
    model.close()
    assert [report.borders for report in reports] == [0] * QUESTIONS
    assert sum(report.repaired_tokens for report in reports) > 0, "through the repair path"
