"""What a judge gains from questions over one's own documents, on questions and documents that it has not seen.

    python -m benchmarks.judge_folds pack  --data D --work W [--indexes I]   the questions of both sets, with evidence
    python -m benchmarks.judge_folds train --work W --base MODEL --out O     on a GPU: all folds and their scores
    python -m benchmarks.judge_folds merge --base SCORES --parts O --out S   with those of the other questions
    python -m benchmarks.judge table --data D --scores S                     the rows of the selector table

contract_nli asks the same 17 hypotheses of 177 contracts: its contracts are dealt into FOLDS parts and its hypotheses
into FOLDS parts, and the sentences of a question are judged by a model that was trained on the other contracts with the
other hypotheses. chunking_eval has three documents only: its questions are dealt into FOLDS parts, the documents are
shared. Each model goes on from MODEL, the judge trained on other sets, with settings that were fixed beforehand.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.judge_pack import READ, packed, read, unpacked, written
from ragkit.selectors.extractive_judging import shown
from ragkit.train.asked import Asked
from ragkit.train.groups import Drawing
from ragkit.train.settings import Steps

SETS = ("chunking_eval", "contract_nli")
FOLDS = 4
DRAWING = Drawing()
STEPS = Steps(epochs=4, batch=16, rate=1e-4)
WEIGHT = 5.0
"""Of the judge beside fusion: what policyqa_dev chose for the judge trained on other sets."""


def pack(data: Path, work: Path, indexes: Path) -> None:
    """Write the questions of both sets with their hits and the labels of their sentences."""
    from ragkit.config import PipelineConfig
    from ragkit.eval.datasets import load
    from ragkit.train.mining import asked_of

    hybrid = PipelineConfig.from_mapping({"chunker": {"name": "recursive", "size": 200}})
    for name in SETS:
        rows = asked_of(load(f"jsonl:{data / name}"), indexes / name, hybrid)
        written(work / f"{name}.json.gz", packed(rows))
        print(f"{name}: {len(rows)} questions", flush=True)


def train(work: Path, base: Path, out: Path, device: str, *, first: int, step: int) -> None:
    """Train a model for every `step`-th fold from `first` on; write its scores of the texts of its questions' hits."""
    from ragkit.train.fitting import Fitting
    from ragkit.train.loop import Judge

    out.mkdir(parents=True, exist_ok=True)
    found: list[tuple[str, str, float]] = []
    began = time.perf_counter()
    for number, (name, learn, held) in enumerate(folds(work)):
        if number % step != first:
            continue
        judge = Judge(base, STEPS, device)
        Fitting(DRAWING).fit(judge, [one for one in learn if one.found])
        judge.steps = replace(judge.steps, length=512)  # what the reranker reads, which is never shorter
        pairs = list(dict.fromkeys(pair for one in held for pair in _pairs(one)))
        found += [
            (*pair, round(float(score), 5)) for pair, score in zip(pairs, judge.score_pairs(pairs, 512), strict=True)
        ]
        seconds = time.perf_counter() - began
        print(f"{name}, fold {number}: {len(learn)} learnt, {len(held)} judged, {seconds:.0f} s", flush=True)
    written(out / f"folds{first}.json.gz", found)


def _pairs(one: Asked) -> Iterator[tuple[str, str]]:
    """Yield every pair of question and text that the table will ask for."""
    for hit in one.hits:
        yield one.query.question, hit.chunk.index_text
    for hit, spans in zip(one.hits[:READ], one.sentences[:READ], strict=False):
        for at in range(len(spans)):
            yield one.query.question, shown(hit.chunk.text, spans, at, DRAWING.neighbours)


def merge(base: Path, parts: Path, out: Path) -> None:
    """Write the scores of the folds over those of the judge they began with.

    Questions without evidence are in no fold and keep the latter.
    """
    content = read(base / "scores.json.gz")
    places = {(content["questions"][q], content["texts"][t]): at for at, (q, t) in enumerate(content["pairs"])}
    seen: dict[int, float] = {}
    twice = 0
    for path in sorted(parts.glob("folds*.json.gz")):
        for question, text, score in read(path):
            at = places[question, text]
            twice += seen.get(at, score) != score
            seen[at] = score
    for at, score in seen.items():
        content["scores"][at] = score
    out.mkdir(parents=True, exist_ok=True)
    written(out / "scores.json.gz", content)
    (out / "report.json").write_text(
        json.dumps({"chosen": {"weight": WEIGHT}, "scores": len(seen), "in two folds": twice})
    )
    print(f"{len(seen)} scores of folds, {twice} texts of two folds, {len(places)} in all")


def folds(work: Path) -> Iterator[tuple[str, list[Asked], list[Asked]]]:
    """Yield the name of a set, the questions to learn and those to judge, for each fold."""
    for name in SETS:
        rows = unpacked(read(work / f"{name}.json.gz"))
        rng = np.random.default_rng(0)
        asked = dealt(sorted({one.query.question for one in rows}), rng)
        if name == "chunking_eval":
            for part in range(FOLDS):
                held = [one for one in rows if asked[one.query.question] == part]
                yield name, [one for one in rows if asked[one.query.question] != part], held
            continue
        papers = dealt(sorted({one.hits[0].chunk.doc_id for one in rows}), rng)
        for part in range(FOLDS):
            for paper in range(FOLDS):
                held = [o for o in rows if (asked[o.query.question], papers[o.hits[0].chunk.doc_id]) == (part, paper)]
                learn = [
                    one
                    for one in rows
                    if asked[one.query.question] != part and papers[one.hits[0].chunk.doc_id] != paper
                ]
                yield name, learn, held


def dealt(names: Sequence[str], rng: np.random.Generator) -> dict[str, int]:
    """Return a part from 0 to FOLDS - 1 for each name, in shuffled order."""
    return {names[place]: at % FOLDS for at, place in enumerate(rng.permutation(len(names)))}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("step", choices=("pack", "train", "merge"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--indexes", type=Path, default=Path("judge-indexes"))
    parser.add_argument("--base", type=Path, help="train: the model to go on from; merge: the folder of its scores")
    parser.add_argument("--parts", type=Path, help="merge: what `train` wrote")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="only every so many of the folds, from --first on")
    args = parser.parse_args()
    match args.step:
        case "pack":
            pack(args.data, args.work, args.indexes)
        case "train":
            train(args.work, args.base, args.out, args.device, first=args.first, step=args.every)
        case "merge":
            merge(args.base, args.parts, args.out)


if __name__ == "__main__":
    main()
