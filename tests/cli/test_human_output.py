"""What people see: places, control characters, colours, notes and bars."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time
import warnings
from contextlib import redirect_stderr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cli import progress as bars
from ragkit.cli.notices import notices
from ragkit.cli.progress import progress
from ragkit.cli.text import place, short_path, visible
from ragkit.schema import Answer, Citation, Dropped, Selection

from .conftest import make_hit


def test_hits_show_rank_place_span_and_whole_text(ragkit, script):
    script.answers["retrieve"] = [make_hit(1, "One.\nTwo."), make_hit(2, source="b.pdf", page=4, line=None)]
    out = ragkit("query", "what?", "--index", "x").out
    assert "1. a.md:3  [0:9]  score 0.5\n   One.\n   Two.\n" in out
    assert "2. b.pdf p.4  [0:16]" in out
    assert "\x1b" not in out


def test_no_line_is_cut_or_wrapped_in_a_pipe(ragkit, script):
    line = "word " * 60 + "end"
    script.answers["retrieve"] = [make_hit(1, f"{line}\n\n{line}")]
    assert f"   {line}\n\n   {line}\n\n" in ragkit("query", "what?", "--index", "x").out


def test_no_hits_are_said(ragkit, script):
    script.answers["retrieve"] = []
    outcome = ragkit("query", "what?", "--index", "x")
    assert (outcome.status, outcome.out) == (0, "Nothing was found.\n")


def test_why_nothing_is_kept_is_said(ragkit, script):
    left = Dropped(make_hit(1), "its trust is\x1b 0", ("distrusted",))
    script.answers |= {"retrieve": [make_hit(1)], "select": Selection((), (left,))}
    out = ragkit("query", "what?", "--index", "x", "--min-trust", "0.5").out
    assert out == "The only chunk found is not used:\n- 1 (distrusted): its trust is␛ 0\n"


def test_nobody_answered_where_there_was_nothing_to_answer_from(ragkit, script):
    script.answers["ask"] = Answer(
        "what?", "None of the 2 chunks found is used.", "tiny", trace={"model_called": False}
    )
    assert ragkit("ask", "what?", "--index", "x").out.strip() == "None of the 2 chunks found is used."


def test_an_answer_shows_citations_what_has_no_support_and_the_model(ragkit, script):
    citation = Citation(1, "d1", "a.md", 4, 9, "clay.", None, 3)
    script.answers["ask"] = Answer("what?", "It is clay [1]. It is gold.", "tiny-7B", (citation,), ("It is gold.",))
    out = ragkit("ask", "what?", "--index", "x").out
    assert out.startswith("It is clay [1]. It is gold.\n\n[1] a.md:3\n    clay.\n")
    assert "No span was found for:\n    It is gold." in out
    assert "Answered by tiny-7B." in out
    assert "--llm" in out


def test_an_answer_without_any_citation_says_so(ragkit, script):
    script.answers["ask"] = Answer("what?", "Gold.", "tiny", (), ("Gold.",))
    assert "No span of the sources supports this answer." in ragkit("ask", "what?", "--index", "x").out


def test_a_served_model_is_asked_for_by_name_and_url(ragkit, script):
    script.answers["ask"] = Answer("what?", "Gold.", "big")
    ragkit("ask", "what?", "--index", "x", "--llm", "http://localhost:1/v1#big")
    part = script.configs[-1].language_model
    assert (part.name, part.options) == ("served", {"base_url": "http://localhost:1/v1", "model": "big"})
    ragkit("ask", "what?", "--index", "x", "--llm", "owner/model")
    part = script.configs[-1].language_model
    assert (part.name, part.options) == ("local", {"model": "owner/model"})


def test_settings_for_asking_leave_the_rest_as_it_was_built(ragkit, script, tmp_path):
    script.answers["ask"] = Answer("what?", "Gold.", "big")
    script.stored = script.stored.model_copy(update={"language": "german"})
    settings = tmp_path / "settings.yaml"
    settings.write_text("selector: {name: mmr}\n")
    ragkit("ask", "what?", "--index", "x", "--config", settings)
    assert script.configs[-1].selector.name == "mmr"
    assert script.configs[-1].language == "german"


def test_markup_in_documents_stays_text(ragkit, script):
    script.answers["retrieve"] = [make_hit(1, "[bold]not bold[/bold] :smile:")]
    assert "[bold]not bold[/bold] :smile:" in ragkit("query", "what?", "--index", "x").out


@given(st.text(st.characters(codec=None)))
def test_visible_text_has_no_control_characters_and_can_be_encoded(text):
    shown = visible(text)
    shown.encode("utf-8")
    assert not [character for character in shown if character.isprintable() is False and character in "\x1b\x07\x9b\r"]
    assert visible("a\r\nb\tc") == "a\nb\tc"


def test_paths_are_relative_where_that_is_shorter(tmp_path, monkeypatch):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert short_path(str(inner / "c.md")) == "c.md"
    assert short_path(str(tmp_path / "d.md")) == "../../d.md"
    assert short_path("/x") == "/x"
    assert short_path("record 7") == "record 7"
    assert place("two\nlines.md", None, 1) == "two␊lines.md:1"


class Screen(io.StringIO):
    """A terminal that records what is drawn."""

    def isatty(self):
        return True


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(bars, "PATIENCE", 0.05)


def test_bars_are_drawn_only_once_patience_is_over(impatient):
    with redirect_stderr(Screen()) as screen, progress("Working", silent=False) as report:
        report("embedding", 1, 2)
    assert screen.getvalue() == ""
    with redirect_stderr(Screen()) as screen, progress("Working", silent=False) as report:
        report("embedding", 1, 2)
        time.sleep(0.3)
    assert "embedding" in screen.getvalue()
    assert "50%" in screen.getvalue()


def test_a_stage_that_never_reports_still_shows_that_work_goes_on(impatient):
    with redirect_stderr(Screen()) as screen, progress("Answering", silent=False):
        time.sleep(0.3)
    assert "Answering" in screen.getvalue()


@pytest.mark.parametrize(("stream", "silent"), [(Screen, True), (io.StringIO, False)])
def test_nothing_is_drawn_under_json_or_into_a_pipe(stream, silent):
    with redirect_stderr(stream()), progress("Working", silent=silent) as report:
        assert report is None


@pytest.fixture
def no_options(monkeypatch):
    monkeypatch.setattr(sys, "warnoptions", [])


def warn(text, category=UserWarning, filename="ragkit/somewhere.py"):
    warnings.warn_explicit(text, category, filename, 1)


def test_warnings_of_ours_are_shown_once_and_those_of_libraries_not_at_all(no_options, capsys):
    import ragkit

    ours = f"{ragkit.__path__[0]}/models/embedder.py"
    with notices(silent=False):
        warn("3 chunks are longer than the window", filename=ours)
        warn("3 chunks are longer than the window", filename=ours)
        warn("numpy will change", DeprecationWarning, filename="/lib/numpy.py")
    assert capsys.readouterr().err == "note: 3 chunks are longer than the window\n"
    with notices(silent=True):
        warn("3 chunks are longer than the window", filename=ours)
    assert capsys.readouterr().err == ""


def test_a_user_who_sets_python_warnings_gets_pythons_own(monkeypatch, capsys):
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    with notices(silent=True), warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="anything"):
            warn("anything")


def test_colours_are_there_on_a_terminal_only():
    """A real pseudo-terminal, since colour depends on the file descriptor."""
    code = "from rich.text import Text; from ragkit.cli.output import show; show(Text('x', style='bold red'))"
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    subprocess.run([sys.executable, "-c", code], stdout=slave, check=True, env=environment)
    assert b"\x1b[1;31m" in os.read(master, 100)
    os.close(master)
    os.close(slave)
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    assert piped.stdout == b"x\n"
