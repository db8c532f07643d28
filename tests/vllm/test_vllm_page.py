"""The examples of docs/models.md on vLLM: in process, and served by the real server."""

from __future__ import annotations

import pytest

from tests.page_examples import run_example

pytestmark = pytest.mark.timeout(600)


def test_the_example_in_process(smollm_folder):
    names = run_example("models.md", "vllm", {})
    assert names["model"].window == 2048


def test_all_abilities_in_process(model):
    run_example("models.md", "abilities", {"model": model})


def test_the_served_example_and_all_abilities(served_url):
    names = run_example("models.md", "served", {}, address=f"http://127.0.0.1:8000/v1 -> {served_url}")
    run_example("models.md", "abilities", names)
