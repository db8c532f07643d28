"""A small cross-encoder trained on open data, and what it does as a judge of sentences and chunks.

    python -m benchmarks.judge pack  --data D --work W [--indexes I]   retrieve; W then holds all that training needs
    python -m benchmarks.judge train --work W --out O                  on a GPU: choose, train, score; writes O
    python -m benchmarks.judge table --data D [--work E] --scores O    the rows of the selector table
    python -m benchmarks.judge join  --work W --scores O --out MODEL   a model folder from what `train` wrote

Training: squad_a, xquad_a (English), scifact, multihop_rag_a, tatqa_dev, musique and, in the last run only,
policyqa_dev. The settings are chosen by policyqa_dev, which the runs that are compared have not seen; of chunking_eval
and contract_nli only questions and texts are packed, no evidence, and nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.judge_pack import READ, Texts, english, half, packed, pairs_of, read, unpacked, written
from ragkit.train.asked import Asked
from ragkit.train.fitting import Fitting, InMemory
from ragkit.train.groups import Drawing
from ragkit.train.ranking import Ranking, paired, ranking
from ragkit.train.settings import Steps

VALIDATION = "policyqa_dev"
TRAINING = ("squad_a", "xquad_a", "multihop_rag_a", "tatqa_dev", "musique")
LEXICAL = ("scifact",)
"""Retrieved by words alone: embedding its 5,183 abstracts would take longer than everything else."""
TABLES = ("chunking_eval", "contract_nli", VALIDATION)
NEIGHBOURS = 1
GRID: dict[str, tuple[Drawing, Steps]] = {
    "listwise, cloze": (Drawing(cloze=2), Steps(epochs=3, batch=16, rate=2e-4)),
    "listwise": (Drawing(), Steps(epochs=3, batch=16, rate=2e-4)),
    "listwise, cloze, half the rate": (Drawing(cloze=2), Steps(epochs=3, batch=16, rate=1e-4)),
    "binary, cloze": (Drawing(cloze=2), Steps(epochs=3, batch=16, rate=2e-4, loss="binary")),
}
"""In this order, as far as the time allows; the one with the best recall on policyqa_dev, alone or fused, is trained
again with it."""
WEIGHTS = (0.0, 2.5, 5.0, 10.0, 20.0)
"""Of the judge beside the five views of `fusion`."""
PART = 14 * 2**20
"""Bytes of one part of the weights."""


def pack(data: Path, work: Path, indexes: Path) -> None:
    """Write training questions, validation questions with their fused scores, and the pairs to score."""
    from ragkit.chunkers.sentences import split_sentences
    from ragkit.config import PipelineConfig
    from ragkit.eval.datasets import load
    from ragkit.models.hub import model_folder
    from ragkit.parts import make_embedder
    from ragkit.pipeline import Pipeline
    from ragkit.selectors.extractive_fusion import FusedSentences
    from ragkit.selectors.extractive_judging import shown
    from ragkit.train.mining import asked_of

    hybrid = PipelineConfig.from_mapping({"chunker": {"name": "recursive", "size": 200}})
    lexical = hybrid.model_copy(
        update={"embedder": PipelineConfig.from_mapping({"embedder": "hashing"}).embedder}
    ).model_copy(update={"retriever": PipelineConfig.from_mapping({"retriever": "lexical"}).retriever})
    work.mkdir(parents=True, exist_ok=True)
    half(model_folder("all-MiniLM-L6-v2"), work / "encoder")
    rows: list[Asked] = []
    for name in (*TRAINING, *LEXICAL):
        config, folder = (lexical, f"{name}-lexical") if name in LEXICAL else (hybrid, name)
        rows += [one for one in asked_of(english(load(f"jsonl:{data / name}")), indexes / folder, config) if one.found]
        print(f"{name}: {len(rows)} questions so far", flush=True)
    written(work / "train.json.gz", packed(rows))
    validation = asked_of(load(f"jsonl:{data / VALIDATION}"), indexes / VALIDATION, hybrid)
    fusion = FusedSentences(make_embedder(hybrid))
    fused = [
        np.concatenate(fusion.score(one.query.question, one.hits[:READ], one.sentences[:READ])).tolist()
        for one in validation
    ]
    written(work / "validation.json.gz", packed(validation, fused))

    def shown_sentences(text: str) -> list[str]:
        spans = split_sentences(text)
        return [shown(text, spans, at, NEIGHBOURS) for at in range(len(spans))]

    questions, texts = Texts(), Texts()
    pairs: dict[tuple[int, int], None] = {}
    for name in TABLES:
        evalset = load(f"jsonl:{data / name}")
        with Pipeline(indexes / name, hybrid) as pipeline:
            pipeline.add(evalset.documents.values())
            asked = [
                (one.question, pipeline.retrieve(one.question, 50, where=_where(one.scope))) for one in evalset.queries
            ]
        pairs.update(dict.fromkeys((questions(q), texts(t)) for q, t in pairs_of(asked, shown_sentences)))
        print(f"{name}: {len(pairs)} pairs so far", flush=True)
    written(
        work / "pairs.json.gz",
        {"questions": list(questions.places), "texts": list(texts.places), "pairs": list(pairs)},
    )


def _where(scope: str | None) -> str | None:
    return None if scope is None else "doc_id = '" + scope.replace("'", "''") + "'"


def train(work: Path, out: Path, device: str, quick: bool, seconds: float) -> None:
    """Choose a setting on the validation set, train with it on everything, score all pairs, write what is needed.

    No further setting is tried once half of `seconds` are over.
    """
    from ragkit.train.loop import Judge

    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    rows, content = unpacked(read(work / "train.json.gz")), read(work / "validation.json.gz")
    validation, fused = unpacked(content), [np.array(own) for own in content["fused"]]
    if quick:
        rows, validation, fused = rows[:40], validation[:10], fused[:10]
    watched, rest = validation[::2], fused[::2]
    report: dict[str, Any] = {"trained on": len(rows), "chosen by": len(watched), "settings": {}}
    best: tuple[float, str, float, int] | None = None
    for name, (drawing, steps) in _grid(quick).items():
        if time.perf_counter() - began > seconds / 2:
            report["settings"][name] = "not tried: no time left"
            continue
        judge = Judge(work / "encoder", steps, device)
        epochs, _ = Fitting(drawing, patience=2).fitted(judge, rows, watched[::3])
        judged = _judged(judge, watched)
        figures = {weight: _fused(watched, judged, rest, weight) for weight in (*WEIGHTS, np.inf)}
        last = 1 + int(np.argmax([row["recall within half"] + row["reciprocal rank"] for row in epochs]))
        told = {
            f"weight {weight:g}": {**found.means(), "gained over fusion": paired(found.recall, figures[0.0].recall)}
            for weight, found in figures.items()
        }
        report["settings"][name] = {"epochs": epochs, **told}
        for weight, found in figures.items():
            value = float(found.recall.mean())
            if weight and (best is None or value > best[0]):
                best = (value, name, weight, last)
        print(f"{name}: {time.perf_counter() - began:.0f} s\n{json.dumps(report['settings'][name])}", flush=True)
    if best is None:
        sys.exit("nothing was trained")
    _, name, weight, epochs_wanted = best
    drawing, steps = _grid(quick)[name]
    report["chosen"] = {
        "setting": name,
        "weight": min(weight, 1e6),
        "epochs": epochs_wanted,
        **asdict(drawing),
        **asdict(steps),
    }
    judge = Judge(work / "encoder", replace(steps, epochs=epochs_wanted), device)
    everything = [*rows, *(one for one in validation if one.found)]
    Fitting(drawing).fit(judge, everything)
    _in_parts(judge, out)
    _score(judge, work, out, quick)
    report["seconds"] = round(time.perf_counter() - began, 1)
    (out / "report.json").write_text(json.dumps(report, indent=1))
    print(json.dumps(report["chosen"]), f"{report['seconds']} s", flush=True)


def _grid(quick: bool) -> dict[str, tuple[Drawing, Steps]]:
    if not quick:
        return GRID
    drawing = Drawing(size=4, positives=1, cloze=1)
    return {"quick": (drawing, Steps(epochs=1, batch=4, length=48))}


def _judged(judge: Any, asked: Sequence[Asked]) -> list[np.ndarray]:
    """Return the judge's scores of the sentences of each question's best hits."""
    from ragkit.selectors.extractive_judging import JudgedSentences

    scorer = JudgedSentences(InMemory(judge), NEIGHBOURS)
    return [np.concatenate(scorer.score(one.query.question, one.hits[:READ], one.sentences[:READ])) for one in asked]


def _fused(asked: Sequence[Asked], judged: Sequence[np.ndarray], fused: Sequence[np.ndarray], weight: float) -> Ranking:
    """Return how the judge ranks beside the five views, as `FusedSentences` weighs them; infinite: the judge alone."""
    waiting = iter(zip(judged, fused, strict=True))

    def score(_: str, __: Any, sentences: Any) -> list[np.ndarray]:
        own, views = next(waiting)
        spread = own.std()
        told = (own - own.mean()) / spread if spread > 1e-12 else np.zeros(len(own))
        both = told if np.isinf(weight) else 5 * views + weight * told
        return np.split(both, np.cumsum([len(one) for one in sentences])[:-1])

    return ranking(asked, score, k=READ)


def _score(judge: Any, work: Path, out: Path, quick: bool) -> None:
    content = read(work / "pairs.json.gz")
    questions, texts = content["questions"], content["texts"]
    places = content["pairs"][:50] if quick else content["pairs"]
    judge.steps = replace(judge.steps, length=512)  # what the reranker reads, which is never shorter
    scores = judge.score_pairs([(questions[question], texts[text]) for question, text in places], 512)
    content["pairs"], content["scores"] = places, [round(float(score), 5) for score in scores]
    written(out / "scores.json.gz", content)


def _in_parts(judge: Any, out: Path) -> None:
    """Write the weights, halved, in files that are easily copied: `join` makes a model folder of them again."""
    with tempfile.TemporaryDirectory() as scratch:
        judge.save(Path(scratch) / "model")
        half(Path(scratch) / "model", Path(scratch) / "half")
        content = (Path(scratch) / "half" / "model.safetensors").read_bytes()
        shutil.copy(Path(scratch) / "model" / "config.json", out / "config.json")
    for number, start in enumerate(range(0, len(content), PART)):
        (out / f"model.part{number}").write_bytes(content[start : start + PART])


def join(work: Path, parts: Path, out: Path) -> None:
    """Write a model folder, in float32, from the weights in `parts` and the encoder's tokenizer in `work`."""
    from safetensors.numpy import load, save_file

    out.mkdir(parents=True, exist_ok=True)
    content = b"".join(path.read_bytes() for path in sorted(parts.glob("model.part*")))
    weights = {name: one.astype(np.float32) if one.dtype == np.float16 else one for name, one in load(content).items()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(parts / "config.json", out / "config.json")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (work / "encoder" / name).is_file():
            shutil.copy(work / "encoder" / name, out / name)


def table(data: Path, work: Path | None, scores: Path, sample: int | None) -> None:
    """Print the selector table of all sets with the scores of the trained judge."""
    import yaml

    from benchmarks.judge_scores import digest
    from benchmarks.machine import describe
    from benchmarks.selector_table import table as rows_of
    from ragkit.eval.experiment.run import RunOptions, run
    from ragkit.plugins import BUILT_IN

    BUILT_IN["rerankers"]["remembered"] = "benchmarks.judge_scores:RememberedReranker"
    file = scores / "scores.json.gz"
    chosen = json.loads((scores / "report.json").read_text())["chosen"]
    judge = {"name": "remembered", "file": str(file), "fingerprint": digest(file)}
    experiment = yaml.safe_load((Path(__file__).parent / "experiments" / "judge.yaml").read_text(encoding="utf-8"))
    for system in experiment["systems"]:
        selector = system["pipeline"]["selector"]
        if selector.get("reranker") == "JUDGE":
            selector["reranker"] = judge
        if selector.get("weight") == "WEIGHT":
            selector["weight"] = float(chosen["weight"])
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "judge.yaml"
        path.write_text(yaml.safe_dump(experiment, sort_keys=False), encoding="utf-8")
        result = run(path, RunOptions(work=work, data=data, sample=sample))
    print(f"{describe()}.\n")
    for one in result.sets:
        print("\n".join(rows_of(one, one.baseline or result.baseline)), end="\n\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("step", choices=("pack", "train", "table", "join"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--indexes", type=Path, default=Path("judge-indexes"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--sample", type=int, help="so many questions of each set in the table")
    parser.add_argument("--seconds", type=float, default=230.0, help="about how long training may take")
    parser.add_argument("--quick", action="store_true", help="a few questions, to see that it runs")
    args = parser.parse_args()
    match args.step:
        case "pack":
            pack(args.data, args.work, args.indexes)
        case "train":
            train(args.work, args.out, args.device, args.quick, args.seconds)
        case "join":
            join(args.work, args.scores, args.out)
        case "table":
            table(args.data, args.work, args.scores, args.sample)


if __name__ == "__main__":
    main()
