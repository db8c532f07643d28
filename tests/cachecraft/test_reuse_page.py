"""The example of docs/kv_reuse.md."""

from __future__ import annotations

from tests.page_examples import run_example

from .conftest import TEXTS


def test_the_example(smollm_folder, tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    for number, text in enumerate(TEXTS):
        (tmp_path / "docs" / f"{number}.txt").write_text(text)
    monkeypatch.chdir(tmp_path)
    run_example("kv_reuse.md", "reuse", {})
