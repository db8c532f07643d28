"""Chat templates that show the day: as Llama 3 writes them, pinned and not, for the plain model and for chunk reuse."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from ragkit.errors import ConfigError
from ragkit.models.causal.loading import load_tokenizer
from ragkit.models.chat_template import prompt_ids, rendered, shows_today
from ragkit.models.local import LocalLanguageModel
from ragkit.plugins import check_options

DAY = date(2024, 7, 6)
MESSAGE = "<s>{% for m in messages %}{{ m['role'] }}: {{ m['content'] | trim }}\n{% endfor %}assistant:"
LLAMA_3_2 = (
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    '{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}'
    "{%- endif %}{%- endif %}Today Date: {{ date_string }}\n" + MESSAGE
)
LLAMA_3_1 = (
    '{%- if not date_string is defined %}{%- set date_string = "26 Jul 2024" %}{%- endif %}'
    "Today Date: {{ date_string }}\n" + MESSAGE
)
IN_A_MACRO = (
    "{%- macro today() -%}{{ strftime_now('%Y-%m-%d') }}{%- endmacro -%}"
    "{% for m in messages %}{{ today() }} {{ m['content'] }}{% endfor %} at {{ strftime_now(\"%H:%M, it's %A\") }}"
)


@pytest.fixture
def tokenizer(smollm_folder: Path):
    return load_tokenizer("smollm", smollm_folder)


def shown(tokenizer, template: str, day: date | None = DAY) -> str:
    tokenizer.chat_template = template
    return rendered(tokenizer, " hi ", day)


def test_a_pinned_day_takes_the_place_of_today(tokenizer):
    rest = "<s>user: hi\nassistant:"
    assert shown(tokenizer, LLAMA_3_2) == f"Today Date: 06 Jul 2024\n{rest}"
    assert shown(tokenizer, LLAMA_3_2, None) == f"Today Date: {date.today():%d %b %Y}\n{rest}"
    assert shown(tokenizer, LLAMA_3_1) == f"Today Date: 06 Jul 2024\n{rest}"
    assert shown(tokenizer, LLAMA_3_1, None) == f"Today Date: 26 Jul 2024\n{rest}"
    assert shown(tokenizer, IN_A_MACRO) == "2024-07-06  hi  at 00:00, it's Saturday"
    assert shown(tokenizer, MESSAGE) == rest


def test_a_format_that_the_template_does_not_spell_is_refused(tokenizer):
    with pytest.raises(ConfigError, match="template_date") as caught:
        shown(tokenizer, "{{ strftime_now('%' ~ 'Y') }} {{ messages[0]['content'] }}")
    assert "without" in caught.value.hint


def test_what_shows_today_is_told_from_what_does_not(tokenizer):
    for template, shows in [
        (LLAMA_3_2, True),
        (IN_A_MACRO, True),
        (LLAMA_3_1, False),
        (MESSAGE, False),
        ("{# strftime_now('%Y') #}" + MESSAGE, False),
        ("{{ strftime_now('%' ~ 'Y') }} {{ messages[0]['content'] }}", True),
        (None, False),
    ]:
        tokenizer.chat_template = template
        assert shows_today(tokenizer) is shows, template


def test_the_local_model_takes_the_day_as_an_option(smollm_folder):
    check_options("language_models", "local", {"template_date": "2024-07-06"}, set())
    with pytest.raises(ConfigError):
        check_options("language_models", "local", {"template_date": "yesterday"}, set())
    plain, pinned = (LocalLanguageModel(str(smollm_folder), device="cpu", template_date=day) for day in (None, DAY))
    assert plain.fingerprint != pinned.fingerprint
    with pinned.loaded() as engine:
        engine.tokenizer.chat_template = LLAMA_3_2
        assert engine.prompt_ids("hi") == prompt_ids(engine.tokenizer, "hi", DAY)
        assert "06 Jul 2024" in engine.text(engine.prompt_ids("hi"))
