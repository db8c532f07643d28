"""The examples of docs/models.md that need no vLLM; tests/vllm runs the others."""

import pytest

from ragkit.testing.server import FakeServer, reply
from tests.page_examples import DOCS, run_example

EXAMPLES = ["abilities", "local", "served", "served-costs", "vllm", "scripted"]


@pytest.mark.models
def test_the_local_example_and_all_abilities(smollm_folder):
    names = run_example("models.md", "local", {})
    run_example("models.md", "abilities", names)


def test_the_served_example():
    with FakeServer([reply("No.")], models=["smollm"], max_model_len=2048) as server:
        run_example("models.md", "served", {}, address=f"http://127.0.0.1:8000/v1 -> {server.url}")
    assert server.requests[-1]["messages"][0]["content"] == "Is the sky blue? Answer yes or no."


@pytest.mark.parametrize("name", ["served-costs", "scripted"])
def test_the_examples_that_bring_their_own_model(name):
    run_example("models.md", name, {})


def test_no_example_is_left_out():
    import re

    text = (DOCS / "models.md").read_text(encoding="utf-8")
    assert re.findall(r"<!-- example: ([\w-]+) -->", text) == EXAMPLES
