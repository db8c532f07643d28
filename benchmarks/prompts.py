"""Which wording and which order of sources lets the default language model answer best.

    python -m benchmarks.prompts prepare ITEMS.json [DATA_FOLDER]    retrieve five chunks for 200 questions of squad_a
    python -m benchmarks.prompts run ITEMS.json MODEL_FOLDER         generate; needs only torch and transformers

The second step is for a GPU: 63 settings x 200 questions x 64 greedy tokens. What is counted: whether the first line of
the reply holds a gold answer, after lower-casing and reducing everything else to words.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

QUESTIONS, SOURCES, NEW_TOKENS = 200, 5, 64


def prepare(target: Path, data: Path) -> None:
    """Write questions, gold answers and the five best chunks (recursive, 200 tokens, hybrid), best first."""
    from ragkit import Pipeline, PipelineConfig

    with gzip.open(data / "squad_a" / "queries.jsonl.gz", "rt", encoding="utf-8") as lines:
        queries = [query for query in map(json.loads, lines) if query["answers"] and query["evidence"]]
    random.Random(7).shuffle(queries)
    config = PipelineConfig.from_mapping({"chunker": {"name": "recursive", "size": 200}})
    items = []
    with tempfile.TemporaryDirectory() as scratch, Pipeline(Path(scratch) / "index", config) as pipeline:
        pipeline.index([data / "squad_a" / "corpus.jsonl.gz"])
        for query in queries[:QUESTIONS]:
            hits = pipeline.retrieve(query["question"], SOURCES)
            texts = [hit.chunk.text for hit in hits]
            items.append({"question": query["question"], "answers": query["answers"], "sources": texts})
    target.write_text(json.dumps(items))


def _numbered(sources: Sequence[str]) -> str:
    return "".join(f"[{number}] {source}\n\n" for number, source in enumerate(sources, 1))


def _plain(sources: Sequence[str]) -> str:
    return "".join(f"{source}\n\n" for source in sources)


def wordings(tokenizer: Any) -> dict[str, Callable[[Sequence[str], str], str]]:
    """Return the prompts by name, as functions of the sources and the question."""

    def chat(*messages: str) -> str:
        roles = ("system", "user")[-len(messages) :]
        turns = [{"role": role, "content": message} for role, message in zip(roles, messages, strict=True)]
        return str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))

    brief = "Answer briefly, using only the text above.\n\nQuestion: "
    system = "You answer questions from the given text in one sentence."
    return {
        "numbered, brief, only the text": lambda texts, q: chat(_numbered(texts) + brief + q),
        "brief, only the text": lambda texts, q: chat(_plain(texts) + brief + q),
        "brief": lambda texts, q: chat(f"{_plain(texts)}Question: {q}\nAnswer briefly."),
        "question alone": lambda texts, q: chat(_plain(texts) + q),
        "system: one sentence": lambda texts, q: chat(system, _plain(texts) + q),
        "reply begun: According to": lambda texts, q: (
            chat(f"{_plain(texts)}{q} Answer with one sentence.") + "According to the text, "
        ),
        "reply begun: The answer is": lambda texts, q: chat(f"{_plain(texts)}Question: {q}") + "The answer is",
        "no chat template": lambda texts, q: f"{_plain(texts)}Question: {q}\nAnswer:",
        "no chat template, short": lambda texts, q: f"Text:\n{_plain(texts)}Question: {q}\nShort answer from the text:",
    }


def _words(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


def run(items: list[dict[str, Any]], folder: str) -> None:
    """Print the share of replies that hold a gold answer, for every wording, number and order of sources."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(device).eval()
    print("| sources | best | wording | gold in the first line, % | words | s |\n|---:|---|---|---:|---:|---:|")
    for count in (1, 2, 3, 5):
        for last in (False, True) if count > 1 else (False,):
            for name, prompt in wordings(tokenizer).items():
                started = time.perf_counter()
                texts = [item["sources"][:count][:: -1 if last else 1] for item in items]
                prompts = [prompt(some, item["question"]) for some, item in zip(texts, items, strict=True)]
                batch = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to(device)
                with torch.inference_mode():
                    out = model.generate(**batch, max_new_tokens=NEW_TOKENS, do_sample=False)
                replies = tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
                lines = [reply.strip().split("\n")[0] for reply in replies]
                hit = sum(
                    any(_words(answer) in _words(line) for answer in item["answers"])
                    for item, line in zip(items, lines, strict=True)
                )
                length = sum(len(line.split()) for line in lines) / len(lines)
                print(
                    f"| {count} | {'last' if last else 'first'} | {name} | {100 * hit / len(items):.1f} | "
                    f"{length:.0f} | {time.perf_counter() - started:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare", target, *rest]:
            prepare(Path(target), Path(rest[0] if rest else "../shared/data"))
        case ["run", items_file, model_folder]:
            run(json.loads(Path(items_file).read_text()), model_folder)
        case _:
            sys.exit(__doc__)
