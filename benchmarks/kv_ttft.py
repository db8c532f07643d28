"""Time to the first token of `ragkit ask` with and without chunk reuse, first and second question over the same chunks.

    python -m benchmarks.kv_ttft [--sources docs] [--model SmolLM2-135M-Instruct] [-k 5] [--pairs 8] [--threads 2]

The folder is indexed, and each pair of questions retrieved and selected as `ragkit ask` does. The second question is
put over the chunks of the first one in the opposite order, so that nothing stands behind what it was computed behind.
Each arm has a store of its own that is empty at each pair's first question. Then a series: all questions one after
another, each over the chunks retrieved for it, with a store that fills. What is timed is from the prompt to the first
token: looking up, loading from memory, planning and computing; not the weights, the quality gate, or retrieval, which
are the same. `plain` is the model without any of this (its `generate` of one token), `full` the forward of chunk reuse
without a store. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import describe
from ragkit import Pipeline, PipelineConfig
from ragkit.answering.prompt import build_prompt, prompt_order
from ragkit.cachecraft.language_model import ReusingLanguageModel
from ragkit.cachecraft.report import ReuseReport, collected_reports
from ragkit.config import KvReuseConfig
from ragkit.protocols import Prompt
from ragkit.schema import Hit

QUESTIONS = (
    ("How is a selector chosen?", "What does a selector do with retrieved chunks?"),
    ("Which chunkers are there?", "What is the size of a chunk counted in?"),
    ("How do I filter by metadata?", "Which operators does a filter know?"),
    ("What does the feedback controller do?", "When does a controller stop?"),
    ("How are two systems compared?", "Which interval is reported for a difference?"),
    ("What does an enricher add to a chunk?", "Does an enricher change the text that is shown?"),
    ("Which models can answer questions?", "How do I name a served model?"),
    ("How is an index repaired?", "What happens when indexing is interrupted?"),
)
ARMS: dict[str, KvReuseConfig | None] = {
    "plain": None,
    "full": KvReuseConfig(policy="full"),
    "share 1.0": KvReuseConfig(share=1.0),
    "default (query_probe, share 0.3)": KvReuseConfig(),
    "query_probe, share 0.15": KvReuseConfig(share=0.15),
    "cachecraft, share 0.15": KvReuseConfig(policy="cachecraft", share=0.15),
    "none": KvReuseConfig(policy="none"),
}


class Timed(NamedTuple):
    """One prompt: seconds to its first token, tokens of the prompt, tokens computed."""

    seconds: float
    prompt_tokens: int
    computed: int


class Asked(NamedTuple):
    """The prompts of one pair of questions over the chunks of the first, and of the second over its own."""

    first: Prompt
    second: Prompt
    own: Prompt


def asked(pipeline: Pipeline, k: int, pairs: int) -> list[Asked]:
    """Return the prompts of the first pairs of QUESTIONS."""

    def shown(question: str) -> list[Hit]:
        return prompt_order(pipeline.select(question, pipeline.retrieve(question, 2 * k), limit=None).hits[:k])

    found = []
    for first, second in QUESTIONS[:pairs]:
        hits = shown(first)
        own = build_prompt(second, shown(second))
        found.append(Asked(build_prompt(first, hits), build_prompt(second, hits[::-1]), own))
    return found


def timed(pipeline: Pipeline, model: ReusingLanguageModel | None, prompt: Prompt) -> Timed:
    """Return what one prompt takes."""
    if model is None:
        started = time.perf_counter()
        pipeline.language_model.generate(prompt, max_tokens=1)
        seconds = time.perf_counter() - started
        tokens = pipeline.language_model.count(["".join(segment.text for segment in prompt)])[0]
        tokens += int(getattr(pipeline.language_model, "template_tokens", 0))
        return Timed(seconds, tokens, tokens)
    with collected_reports() as reports:
        model.generate(prompt, max_tokens=1)
    report: ReuseReport = reports[-1]
    return Timed(float(report.first_token_seconds or 0.0), report.prompt_tokens, report.computed_tokens)


def opened(pipeline: Pipeline, config: KvReuseConfig | None, folder: str) -> ReusingLanguageModel | None:
    """Return a model with an empty store, its weights loaded; None for the plain one."""
    if config is None:
        pipeline.language_model.generate(build_prompt("What?", []), max_tokens=1)
        return None
    settings = config.model_copy(update={"store": folder, "gate": False})
    model = ReusingLanguageModel(pipeline.language_model, _plain(pipeline), settings)
    model.open()
    return model


def _plain(pipeline: Pipeline) -> object:
    """Return the local model behind the pipeline's, which has no reply cache here."""
    return pipeline.language_model


def by_pair(pipeline: Pipeline, config: KvReuseConfig | None, pairs: Sequence[Asked]) -> Iterator[tuple[Timed, Timed]]:
    """Yield the times of both questions of each pair, with an empty store for each."""
    for pair in pairs:
        with tempfile.TemporaryDirectory() as folder:
            model = opened(pipeline, config, folder)
            yield timed(pipeline, model, pair.first), timed(pipeline, model, pair.second)
            if model is not None:
                model.close()


def in_series(pipeline: Pipeline, config: KvReuseConfig | None, pairs: Sequence[Asked]) -> list[Timed]:
    """Return the times of all questions one after another, each over its own chunks, with one store."""
    with tempfile.TemporaryDirectory() as folder:
        model = opened(pipeline, config, folder)
        found = [timed(pipeline, model, prompt) for pair in pairs for prompt in (pair.first, pair.own)]
        if model is not None:
            model.close()
    return found


def shown(times: Sequence[Timed]) -> str:
    """Return the median of the seconds, the least and the most."""
    seconds = [one.seconds for one in times]
    return f"{statistics.median(seconds):.3f} ({min(seconds):.3f}-{max(seconds):.3f})"


def computed(times: Sequence[Timed]) -> str:
    """Return the share of all prompt tokens that was computed."""
    return f"{sum(one.computed for one in times) / sum(one.prompt_tokens for one in times):.1%}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, default=Path("docs"))
    parser.add_argument("--model", default="SmolLM2-135M-Instruct")
    parser.add_argument("-k", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=len(QUESTIONS))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    os.environ["RAGKIT_LLM_CACHE"] = "off"
    import torch

    torch.set_num_threads(options.threads)
    config = PipelineConfig.from_mapping({"language_model": {"name": "local", "model": options.model}})
    with tempfile.TemporaryDirectory() as folder, Pipeline(Path(folder) / "index", config) as pipeline:
        pipeline.index([options.sources])
        pairs = asked(pipeline, options.k, options.pairs)
        print(f"{describe()}; {options.threads} threads; {options.model}; {len(pairs)} pairs, k = {options.k}")
        print("\n| arm | first question, s | second, same chunks, s | computed of it | series, s | computed in it |")
        print("|---|---:|---:|---:|---:|---:|")
        for name, arm in ARMS.items():
            firsts, seconds = zip(*by_pair(pipeline, arm, pairs), strict=True)
            series = in_series(pipeline, arm, pairs)
            print(
                f"| {name} | {shown(firsts)} | {shown(seconds)} | {computed(seconds)} | {shown(series)} | "
                f"{computed(series)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
