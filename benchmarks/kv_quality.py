"""What reuse of chunks' keys and values costs in quality: every policy at every repair share, on real questions.

    python -m benchmarks.kv_quality SET --out FILE [--questions 200] [--seconds 240]     records, one line a question
    python -m benchmarks.kv_quality_table FILE ...                                       the tables of RESULTS.md

Each question is answered over the chunks that its data set gives it (musique and cacheblend_musique: the published
context; longbench_a: its documents in pieces of 512 tokens; squad_a: the five best chunks of a lexical search), first
computed whole, then with the chunks' keys and values taken from elsewhere:

- `isolated`: each chunk computed alone behind the system prefix (generation 0, no history);
- `shuffled`: each chunk computed among the same chunks in another order, drawn by the seed, together with the chunks of
  another question: what a cache holds that was filled by overlapping requests.

Recorded are the divergence of the first answer token (KL from the full computation, natural logarithm), the share of
teacher-forced tokens of the full computation's answer on which the reused one agrees, and the greedy replies at some
shares (`benchmarks.kv_quality_cases`). The plans of a few questions go through the model together, those whose answers
are written first, then the others. Two runs of the full computation, one among the plans, tell what rounding alone
does. No question is used to choose anything.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.kv_quality_cases import FULL, Case, cases
from benchmarks.kv_quality_rows import Row, run_rows
from ragkit import Pipeline
from ragkit.answering.prompt import build_prompt
from ragkit.cachecraft.core.choice import choose, chunk_keys, history, prefix_key
from ragkit.cachecraft.core.planning import full_plan, make_plan
from ragkit.cachecraft.core.prompt import Layout
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.statistics import chunk_statistics
from ragkit.cachecraft.core.variant import Variant
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.deviation import deviation_scores
from ragkit.cachecraft.hf.probe import probe_scores
from ragkit.cachecraft.pieces import Pieces
from ragkit.config import PipelineConfig
from ragkit.models.causal.engine import Engine
from ragkit.models.causal.loading import end_tokens
from ragkit.models.hub import model_folder
from ragkit.models.local import LocalLanguageModel
from ragkit.schema import Chunk, Document, Hit

WINDOW = 8192
REPLY = 32


class Asked(NamedTuple):
    """One question with the texts of its chunks in the order of the prompt."""

    query_id: str
    question: str
    answers: list[str]
    texts: list[str]


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def questions(data: Path, name: str, work: Path) -> Iterator[Asked]:
    """Yield the questions of a set in its order, with their chunks."""
    texts = {line["doc_id"]: line["text"] for line in lines(data / name / "corpus.jsonl.gz")}
    asked = list(lines(data / name / "queries.jsonl.gz"))
    if name == "squad_a":
        yield from retrieved(texts, asked, work)
        return
    for line in asked:
        chunks = [texts[doc] for doc in line["meta"]["ctx_doc_ids"]]
        if name == "longbench_a":
            chunks = [part for text in chunks for part in pieces_of(text)]
        yield Asked(line["query_id"], line["question"], line["answers"], chunks)


def pieces_of(text: str) -> list[str]:
    """Return a long document in chunks of at most 512 tokens."""
    from ragkit.chunkers.recursive import RecursiveChunker
    from ragkit.models.tokenizer import HfTokenizer

    tokenizer = HfTokenizer.from_folder(model_folder("SmolLM2-135M-Instruct"))
    chunker = RecursiveChunker(tokenizer, size=512)
    return [chunk.text for cut in chunker.chunk([Document(text, "document")]) for chunk in cut.chunks]


def retrieved(texts: Mapping[str, str], asked: Sequence[dict[str, Any]], work: Path) -> Iterator[Asked]:
    """Yield the answerable questions of a set with a corpus, each with the five best chunks of a lexical search."""
    folder = work / "kv-quality-index"
    config = PipelineConfig.from_mapping(
        {"embedder": {"name": "hashing"}, "chunker": {"name": "recursive", "size": 200}}
    )
    with Pipeline(folder, config) as pipeline:
        pipeline.add(Document(text, name, doc_id=name) for name, text in texts.items())
        for line in asked:
            if line["answers"]:
                hits = pipeline.retrieve(line["question"], 5, retriever="lexical")
                yield Asked(line["query_id"], line["question"], line["answers"], [hit.chunk.text for hit in hits])


class Ready(NamedTuple):
    """A question with the rows that it goes through the model as."""

    asked: Asked
    layout: Layout
    rows: dict[Case, Row]
    blobs: dict[str, torch.Tensor]


Compared = list[float]
"""The share computed, the tokens computed, the KL and the agreement of one case."""


class Bench:
    """The model, how prompts are built for it, and what one question is put through."""

    def __init__(self, model: str, dtype: str, seed: int, every: int, cache_bytes: int) -> None:
        self.cases = cases()[::every]
        self.cache_bytes = cache_bytes
        local = LocalLanguageModel(model, dtype=dtype)
        self.engine: Engine = local._loaded
        self.backend = HfBackend(self.engine.model, local.fingerprint, cache_bytes=cache_bytes)
        self.ends = end_tokens(self.engine.model, self.engine._tokenizer)
        self.pieces = Pieces(self.engine._tokenizer)
        self.seed = seed

    def layout(self, asked: Asked) -> Layout:
        """Return the prompt that `ragkit ask` would build, chunks in the given order."""
        hits = []
        for rank, text in enumerate(asked.texts, 1):
            document = Document(text, str(rank))
            hits.append(Hit(rank, 0.0, f"chunk {rank}", Chunk.of(document, 0, len(text)), str(rank), None, None))
        return self.pieces.layout(build_prompt(asked.question, hits))

    def stores(
        self, layout: Layout, other: Layout, query_id: str
    ) -> tuple[dict[str, dict[str, list[Variant]]], dict[str, torch.Tensor]]:
        """Return the variants of each store by key, and all blobs; the prefix is exact in both."""
        keys = chunk_keys(layout, self.backend.space.key)
        prefix = prefix_key(layout, keys)
        first = layout.pieces[0]
        blobs: dict[str, torch.Tensor] = {}
        found: dict[str, dict[str, list[Variant]]] = {"isolated": {}, "shuffled": {}}

        def keep(store: str, variant: Variant, blob: torch.Tensor) -> None:
            found[store].setdefault(variant.chunk, []).append(variant)
            blobs[variant.name] = blob

        alone = {keys[at]: layout.pieces[at] for at in layout.chunks}
        states = self.backend.prefill_many([[first, piece] for piece in alone.values()])
        for (key, piece), state in zip(alone.items(), states, strict=True):
            start = len(layout.prefix)
            keep(
                "isolated",
                Variant(f"{query_id} alone {key}", key, piece.ids, prefix, start),
                self.backend.capture(state, 1),
            )
        if prefix:
            blob = self.backend.capture(states[0], 0)
            for store in found:
                keep(store, Variant(f"{query_id} prefix", prefix, first.ids, "", 0), blob)
        self._shuffled(layout, other, keys, prefix, query_id, keep)
        return found, blobs

    def _shuffled(
        self, layout: Layout, other: Layout, keys: Mapping[int, str], prefix: str, query_id: str, keep: Any
    ) -> None:
        """Capture each chunk, with statistics, from a prompt that holds it among others in another order."""
        own = {keys[at]: layout.pieces[at] for at in layout.chunks}
        mixed = list(own.values())
        room = WINDOW - REPLY - len(layout.ids)
        for at in other.chunks:
            piece = other.pieces[at]
            if len(piece.ids) < room and not any(np.array_equal(piece.ids, one.ids) for one in mixed):
                mixed.append(piece)
                room -= len(piece.ids)
            if len(mixed) >= len(own) + max(1, len(own) // 2):
                break
        random.Random(f"{self.seed} {query_id}").shuffle(mixed)
        stood = Layout((layout.pieces[0], *mixed, layout.pieces[-1]))
        where = chunk_keys(stood, self.backend.space.key)
        wanted = [at for at in stood.chunks if where[at] in own]
        state = self.backend.run(full_plan(stood), {}, observe=wanted)
        for at in wanted:
            before, lengths = history(stood, where, at)
            variant = Variant(
                f"{query_id} shuffled {where[at]}",
                where[at],
                stood.pieces[at].ids,
                prefix,
                stood.spans[at].start,
                before,
                lengths,
                statistics=chunk_statistics(state.masses[at], stood, at),
            )
            keep("shuffled", variant, self.backend.capture(state, at))

    def rows(
        self, layout: Layout, stores: Mapping[str, Mapping[str, list[Variant]]], blobs: Mapping[str, torch.Tensor]
    ) -> dict[Case, Row]:
        """Return the plan of every case, the full computation among them."""
        keys = chunk_keys(layout, self.backend.space.key)
        prefix = prefix_key(layout, keys)
        found = {}
        for store, held in stores.items():
            candidates = _candidates(held)
            stitched, reasons = choose(layout, keys, candidates, prefix, Repair())
            base = make_plan(layout, stitched, reasons, "none", Repair())
            scores = {
                "query_probe": probe_scores(self.backend, base, blobs).values,
                "hkvd": deviation_scores(self.backend, base, blobs).values,
            }
            for case in self.cases:
                if case.store == store:
                    repair = case.repair(self.seed)
                    chosen = stitched, reasons
                    if case.alpha is not None:  # by eq. 14 a chunk may be too far off to be reused at all
                        chosen = choose(layout, keys, candidates, prefix, repair)
                    plan = make_plan(layout, *chosen, case.policy, repair, scores=scores.get(case.policy))
                    found[case] = Row(plan, base)
        return {**found, FULL: Row(full_plan(layout), None)}

    def batches(self, pairs: Sequence[tuple[Asked, Asked]]) -> Iterator[list[tuple[Asked, Asked]]]:
        """Yield the pairs in groups whose rows fit the cache together, in their order."""
        others = sum(not case.written for case in self.cases)
        rows = max(others, len(self.cases) + 1 - others)
        group: list[tuple[Asked, Asked]] = []
        longest = 0
        for pair in pairs:
            tokens = len(self.layout(pair[0]).ids) + REPLY + 1
            longest = max(longest, tokens)
            if group and (len(group) + 1) * rows * longest * self.backend.token_bytes > self.cache_bytes:
                yield group
                group, longest = [], tokens
            group.append(pair)
        if group:
            yield group

    def ask_many(self, batch: Sequence[tuple[Asked, Asked]]) -> Iterator[dict[str, Any]]:
        """Yield the record of each question; `batch` has each with another one, whose chunks are its company."""
        ready = []
        for asked, other in batch:
            layout = self.layout(asked)
            stores, blobs = self.stores(layout, self.layout(other), asked.query_id)
            ready.append(Ready(asked, layout, self.rows(layout, stores, blobs), blobs))
        replies, compared = self._answered(ready)
        for one, reply, found in zip(ready, replies, compared, strict=True):
            yield {
                "query": one.asked.query_id,
                "answers": one.asked.answers,
                "tokens": len(one.layout.ids),
                "context": one.layout.context_tokens,
                "chunks": len(one.layout.chunks),
                "reply": self.engine.text(reply[FULL]),
                "cases": [[*case[:4], *found[case]] for case in one.rows if case.alpha is None],
                "alphas": [[case.alpha, *found[case]] for case in one.rows if case.alpha is not None],
                "replies": [[*case[:4], self.engine.text(tokens)] for case, tokens in reply.items()],
            }

    def _answered(self, ready: Sequence[Ready]) -> tuple[list[dict[Case, list[int]]], list[dict[Case, Compared]]]:
        """Return for each question the greedy replies by case, and what is compared of every case."""
        blobs = {name: blob for one in ready for name, blob in one.blobs.items()}
        replies: list[dict[Case, list[int]]] = [{} for _ in ready]
        compared: list[dict[Case, Compared]] = [{} for _ in ready]
        references = [self.backend.run(full_plan(one.layout), {}).logits for one in ready]
        for written in (True, False):
            wanted = [
                (number, case) for number, one in enumerate(ready) for case in one.rows if case.written is written
            ]
            if not wanted:
                continue
            states = run_rows(self.backend, [ready[number].rows[case] for number, case in wanted], blobs, REPLY)
            if written:
                decoded = self.backend.decode(states, REPLY, ends=self.ends)
                for (number, case), reply in zip(wanted, decoded, strict=True):
                    replies[number][case] = reply
            logits = self.backend.forced(states, [replies[number][FULL] for number, _ in wanted])
            del states
            for number, one in enumerate(ready):
                own = {case: at for (owner, case), at in zip(wanted, logits, strict=True) if owner == number}
                compared[number] |= _compared(references[number], own, one.rows, replies[number][FULL])
        return replies, compared


def _candidates(held: Mapping[str, Sequence[Variant]]) -> Callable[[str], Sequence[Variant]]:
    return lambda key: held.get(key, ())


def _compared(
    reference: torch.Tensor, logits: Mapping[Case, torch.Tensor], rows: Mapping[Case, Row], reply: Sequence[int]
) -> dict[Case, Compared]:
    """Return what is compared of each case: `reference` and `logits` are those of the full computation and its own."""
    full = torch.log_softmax(reference.double(), -1)
    firsts = torch.log_softmax(torch.stack([one[0] for one in logits.values()]).double(), -1)
    kl = (full.exp() * (full - firsts)).sum(-1).clamp(min=0).tolist()
    best = torch.stack([one.argmax(-1) for one in logits.values()]).cpu().numpy()
    agreed = (best == np.array(reply, np.int64)).mean(1).tolist()
    return {
        case: [round(rows[case].plan.share, 5), len(rows[case].plan.fresh), far, near]
        for case, far, near in zip(logits, kl, agreed, strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("set")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--work", type=Path, default=Path("/tmp/kv-quality"))
    parser.add_argument("--model", default="SmolLM2-135M-Instruct")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1e9, help="no further question begins after so long")
    parser.add_argument("--every", type=int, default=1, help="only every so many of the cases, for a trial")
    parser.add_argument("--first", type=int, default=0, help="with --step: every step-th question from this one on")
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--cache-gib", type=float, default=8, help="what the rows that run together may hold")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.perf_counter()
    bench = Bench(args.model, args.dtype, args.seed, args.every, int(args.cache_gib * 2**30))
    asked = [one for one in questions(args.data, args.set, args.work) if one.texts]
    fitting = [one for one in asked if len(bench.layout(one).ids) + REPLY <= WINDOW]
    random.Random(args.seed).shuffle(fitting)
    chosen = fitting[: args.questions]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", encoding="utf-8") as file:
        head = {
            "set": args.set,
            "asked": len(asked),
            "fitting": len(fitting),
            "device": device(bench),
            "seed": args.seed,
        }
        file.write(json.dumps(head) + "\n")
        pairs = [(one, chosen[at - 1]) for at, one in enumerate(chosen)][args.first :: args.step]
        done = 0
        for batch in bench.batches(pairs):
            if time.perf_counter() - began > args.seconds:
                break
            for record in bench.ask_many(batch):
                file.write(json.dumps({**record, "seconds": round(time.perf_counter() - began, 2)}) + "\n")
            file.flush()
            done += len(batch)
            print(f"{args.set}: {done} of {len(pairs)}, {time.perf_counter() - began:.0f} s", flush=True)


def device(bench: Bench) -> str:
    name = torch.cuda.get_device_name() if bench.backend.device.type == "cuda" else "CPU"
    return f"{name}, {bench.backend.dtype}, torch {torch.__version__}"


if __name__ == "__main__":
    main()
