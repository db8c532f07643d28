"""Scoring speed: `LocalLanguageModel.score` beside a bare batched forward of the same model with the loss, in one run.

    python -m benchmarks.perplexity_speed [--tokens N] [--repeat 5] [--compile] [--memory 2000000]

Both sides run the same windows of the same real texts (public data under --data), in the same number format, compile
mode and batch size, and are counted in forwarded tokens, window overlaps included, padding not. The bare side gets its
token ids ready-made in batches sorted by length: no tokenising, no offsets. It is timed with several losses: none, a
plain tiled one at every position (the reference), the plain one where scores are wanted, and ragkit's own. Rounds are
interleaved; medians count. `--memory` instead measures, in a process of its own, the peak memory of scoring one
document of so many characters. The Markdown table comes last.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from ragkit.inference import Windows
from ragkit.models.causal.forward import compiled_layers
from ragkit.models.causal.passes import passes
from ragkit.models.local import LocalLanguageModel

SETS = ("longbench_a", "qmsum_val", "quality_a", "squad_a")


class Batch(NamedTuple):
    """Token ids, (rows, length), padded on the right; flat places and targets of all tokens, and of those wanted."""

    ids: torch.Tensor
    every: torch.Tensor
    every_targets: torch.Tensor
    wanted: torch.Tensor
    wanted_targets: torch.Tensor


def texts(data: Path, names: list[str]) -> Iterator[str]:
    """Yield the documents of the data sets that are there."""
    for name in names:
        path = data / name / "corpus.jsonl.gz"
        if path.is_file():
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                for line in lines:
                    yield json.loads(line)["text"]


def chosen(model: LocalLanguageModel, source: Iterator[str], windows: Windows, tokens: int) -> list[str]:
    """Return documents that take at least `tokens` forwarded tokens together, the last one cut."""
    found: list[str] = []
    total = 0
    for text in source:
        if not text.strip():
            continue
        spans = model._counter.offsets([text])[0]
        own = sum(one.stop - one.start for one in passes(len(spans), windows))
        if total + own > tokens:
            end = min(len(spans) - 1, max(1, (tokens - total) * len(spans) // own))
            return [*found, text[: spans[end, 0]]]
        found.append(text)
        total += own
    return found


def padded_batches(model: LocalLanguageModel, found: list[str], windows: Windows, budget: int) -> list[Batch]:
    """Return all passes of the texts, longest first, in right-padded batches of at most `budget` tokens."""
    scorer = model._loaded.scorer
    device = scorer.forward.device
    rows = []
    for group in scorer.tokenizer.groups(found, [""] * len(found)):
        for text in group:
            for one in passes(len(text.ids), windows):
                read = np.concatenate([[scorer.start], text.ids[one.start : one.stop - 1]])
                rows.append((read, text.ids[one.start : one.stop], one.first - one.start))
    rows.sort(key=lambda row: -len(row[0]))
    batches = []
    while rows:
        longest = len(rows[0][0])
        step = max(1, budget // longest)
        part, rows = rows[:step], rows[step:]
        ids = np.zeros((len(part), longest), np.int64)
        for place, (read, _, _) in enumerate(part):
            ids[place, : len(read)] = read
        every = np.concatenate([at * longest + np.arange(len(read)) for at, (read, _, _) in enumerate(part)])
        wanted = np.concatenate(
            [at * longest + np.arange(first, len(read)) for at, (read, _, first) in enumerate(part)]
        )
        targets = [np.concatenate([own for _, own, _ in part]), np.concatenate([own[first:] for _, own, first in part])]
        batches.append(
            Batch(
                *(
                    torch.from_numpy(each.astype(np.int64)).to(device)
                    for each in (ids, every, targets[0], wanted, targets[1])
                )
            )
        )
    return batches


class Bare:
    """The model's body and a loss, over ready-made batches."""

    def __init__(self, model: LocalLanguageModel, batches: list[Batch], *, compiled: bool) -> None:
        self.loaded = model._loaded.model
        body = self.loaded.base_model
        self.body = compiled_layers(body) if compiled else body
        self.head = model._loaded.forward.head
        self.batches = batches
        self.weight = self.loaded.get_output_embeddings().weight
        tile = plain_tile
        self.tile = torch.compile(tile) if compiled else tile
        self.positions = 8192 if self.weight.is_cuda else 512

    def plain(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the losses by tiles over positions, float32 softmax."""
        parts = zip(hidden.split(self.positions), targets.split(self.positions), strict=True)
        return torch.cat([self.tile(part, self.weight, wanted) for part, wanted in parts])

    def losses(self, loss: str, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the losses by one of the ways."""
        if loss == "ragkit":
            return self.head.nll(hidden, targets)
        if loss == "rounded":
            return dataclasses.replace(self.head, exact=False).nll(hidden, targets)
        return self.plain(hidden, targets)

    def run(self, loss: str) -> float:
        """Run all batches; return the sum of the losses, the one thing that waits for the device."""
        total = torch.zeros((), dtype=torch.float64, device=self.weight.device)
        with torch.inference_mode():
            for batch in self.batches:
                hidden = self.body(input_ids=batch.ids, use_cache=False).last_hidden_state
                if loss == "none":
                    total += hidden[0, 0, 0]
                    continue
                places, targets = (
                    (batch.every, batch.every_targets) if loss == "every" else (batch.wanted, batch.wanted_targets)
                )
                total += self.losses(loss, hidden.flatten(0, 1)[places], targets).sum()
        return float(total)


def plain_tile(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the losses of a tile the plain way."""
    return functional.cross_entropy(functional.linear(hidden, weight).float(), targets, reduction="none")


def timed(run: Callable[[], object]) -> float:
    """Return the seconds of `run`, the device's work included."""
    began = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def score_total(model: LocalLanguageModel, found: list[str], windows: Windows) -> float:
    """Return the sum of all scores, tokenising included."""
    return float(sum(scores.nll.sum(dtype=np.float64) for scores in model.score(found, windows=windows)))


def compare(options: argparse.Namespace) -> None:
    """Measure and print the table."""
    model = LocalLanguageModel(
        options.model, device=options.device, batch_tokens=options.batch_tokens, compiled=options.compile
    )
    windows = Windows(options.window, options.stride)
    cuda = model._loaded.model.device.type == "cuda"
    wanted = options.tokens or (2_000_000 if cuda else 30_000)
    found = chosen(model, texts(options.data, options.sets), windows, wanted)
    if not found:
        sys.exit(f"no texts under {options.data}; give --data the folder of the public data sets")
    scorer = model._loaded.scorer
    batches = padded_batches(model, found, windows, scorer.batch_tokens)
    bare = Bare(model, batches, compiled=options.compile)
    runs: dict[str, Callable[[], object]] = {
        "bare body, no loss": lambda: bare.run("none"),
        "bare body + plain tiled loss, every position (reference)": lambda: bare.run("every"),
        "bare body + plain tiled loss, wanted positions": lambda: bare.run("wanted"),
        "bare body + ragkit's loss, wanted positions": lambda: bare.run("ragkit"),
        "ragkit score, from text": lambda: score_total(model, found, windows),
    }
    if cuda:
        runs["bare body + ragkit's loss of half-precision logits"] = lambda: bare.run("rounded")
    began = time.perf_counter()
    sums = {name: run() for name, run in runs.items()}
    print(f"first round (loading, compiling, warming) {time.perf_counter() - began:.1f} s", flush=True)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for done in range(options.repeat):
        for name, run in runs.items():
            seconds[name].append(timed(run))
        print(f"round {done + 1}: " + ", ".join(f"{values[-1]:.2f}" for values in seconds.values()), flush=True)
        if time.perf_counter() - began > options.limit:
            break
    forwarded = sum(len(batch.every) for batch in batches)
    scored = sum(len(batch.wanted) for batch in batches)
    describe(options, model, found, windows, forwarded, scored, batches)
    table(seconds, sums, forwarded, scored, sum(map(len, found)))


def describe(
    options: argparse.Namespace,
    model: LocalLanguageModel,
    found: list[str],
    windows: Windows,
    forwarded: int,
    scored: int,
    batches: list[Batch],
) -> None:
    """Print what was measured on what."""
    loaded = model._loaded.model
    device = torch.cuda.get_device_name() if loaded.device.type == "cuda" else f"{torch.get_num_threads()} threads"
    import transformers

    dtype, size = str(loaded.dtype).removeprefix("torch."), model._loaded.scorer.batch_tokens
    print(
        f"\n{model.name} in {dtype} on {device}; torch {torch.__version__}, transformers {transformers.__version__}; "
        f"windows {windows.size}/{windows.stride}, batches of {size} tokens, "
        f"{'compiled layers' if options.compile else 'not compiled'}"
    )
    full = sum(batch.ids.numel() for batch in batches if len(batch.every) == batch.ids.numel())
    print(
        f"{len(found)} documents, {sum(map(len, found))} characters, {forwarded} forwarded tokens "
        f"({full / forwarded:.0%} in batches without padding), {scored} scored\n"
    )


def table(
    seconds: dict[str, list[float]], sums: dict[str, object], forwarded: int, scored: int, characters: int
) -> None:
    """Print the Markdown table: medians, spread, speed relative to the reference, mean score."""
    reference = statistics.median(next(values for name, values in seconds.items() if "reference" in name))
    print("| run | median s | fastest-slowest s | forwarded tokens/s | of reference | s per MB of text | mean nats |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, values in seconds.items():
        middle = statistics.median(values)
        total = float(sums[name])  # type: ignore[arg-type] # every run returns a number
        count = {"none": 0}.get("none" if "no loss" in name else "", forwarded if "every" in name else scored)
        mean = f"{total / count:.4f}" if count else ""
        print(
            f"| {name} | {middle:.3f} | {min(values):.3f}-{max(values):.3f} | {forwarded / middle:,.0f} | "
            f"{reference / middle:.1%} | {middle / characters * 1e6:.2f} | {mean} |"
        )


def memory(options: argparse.Namespace) -> None:
    """Score one document in this process and print its peak memory beside the loaded model."""
    document = ""
    for text in texts(options.data, options.sets):
        document += text + "\n"
        if len(document) >= options.memory:
            break
    document = (document * (options.memory // max(1, len(document)) + 1))[: options.memory]
    model = LocalLanguageModel(options.model, device=options.device, batch_tokens=options.batch_tokens)
    model.score(["One two three."])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    found = model.score([document], windows=Windows(options.window, options.stride))[0]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    device = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    seconds = time.perf_counter() - began
    weights = sum(value.numel() * value.element_size() for value in model._loaded.model.parameters())
    print("| document | tokens | seconds | host memory beside the model | device memory beside the model |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    print(
        f"| {len(document)} characters | {len(found.nll)} | {seconds:.0f} | {grown / 2**20:.2f} GiB | "
        f"{max(0, device - weights) / 2**30:.2f} GiB |"
    )


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = Path(os.environ.get("RAGKIT_DATA", Path(__file__).resolve().parents[1] / ".." / "shared" / "data"))
    parser.add_argument("--model", default="SmolLM2-135M-Instruct", help="name, folder or hub id")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument(
        "--tokens", type=int, help="forwarded tokens of a round; default 2,000,000 on a GPU, else 30,000"
    )
    parser.add_argument("--window", type=int, default=4096)
    parser.add_argument("--stride", type=int, default=2048)
    parser.add_argument("--batch-tokens", type=int)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--limit", type=float, default=110, help="seconds after which no further round begins")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--memory", type=int, help="measure memory for a document of so many characters instead")
    options = parser.parse_args()
    if options.memory and "RAGKIT_MEMORY_CHILD" not in os.environ:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.perplexity_speed", *sys.argv[1:]],
            env={**os.environ, "RAGKIT_MEMORY_CHILD": "1"},
            check=True,
        )
    elif options.memory:
        memory(options)
    else:
        compare(options)


if __name__ == "__main__":
    main()
