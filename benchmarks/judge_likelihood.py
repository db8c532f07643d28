"""The scores of an untrained language model for the pairs of `benchmarks.judge`: how likely a text makes the question.

    python -m benchmarks.judge_likelihood --work W --out O [--seconds N]     on a GPU
    python -m benchmarks.judge table --data D --scores O                     the rows of the selector table

The weight beside fusion, which `table` reads, is chosen by policyqa_dev: the same command with `--weigh` prints the
recall of each weight there and writes the best.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks.judge_pack import NEIGHBOURS, READ, read, unpacked, written
from benchmarks.judge_training import WEIGHTS, fused_ranking
from ragkit.selectors.extractive_judging import shown


def score(work: Path, out: Path, seconds: float) -> None:
    """Write the mean log-likelihood of the question after each text."""
    from ragkit.models.local import LocalLanguageModel
    from ragkit.protocols import LanguageModel
    from ragkit.rerankers.likelihood import LikelihoodReranker

    out.mkdir(parents=True, exist_ok=True)
    content = read(work / "pairs.json.gz")
    model: LanguageModel = LocalLanguageModel("SmolLM2-135M-Instruct")  # type: ignore[assignment]  # as in ragkit.parts
    reranker = LikelihoodReranker(model)
    by_question: dict[int, list[int]] = {}
    for at, (question, _) in enumerate(content["pairs"]):
        by_question.setdefault(question, []).append(at)
    scores = np.full(len(content["pairs"]), np.nan)
    began = time.perf_counter()
    for done, (question, places) in enumerate(by_question.items()):
        texts = [content["texts"][content["pairs"][at][1]] for at in places]
        scores[places] = reranker.score(content["questions"][question], texts)
        if done % 50 == 0:
            print(f"{done} of {len(by_question)} questions, {time.perf_counter() - began:.0f} s", flush=True)
        if time.perf_counter() - began > seconds:
            break
    kept = [at for at in range(len(scores)) if np.isfinite(scores[at])]
    content["pairs"], content["scores"] = [content["pairs"][at] for at in kept], scores[kept].round(5).tolist()
    written(out / "scores.json.gz", content)
    print(f"{len(kept)} of {len(scores)} pairs, {time.perf_counter() - began:.0f} s")


def weigh(work: Path, out: Path) -> None:
    """Print the recall within half of each weight beside fusion on the validation questions; write the best."""
    content = read(out / "scores.json.gz")
    questions, texts = content["questions"], content["texts"]
    known = {(questions[q], texts[t]): s for (q, t), s in zip(content["pairs"], content["scores"], strict=True)}
    packed = read(work / "validation.json.gz")
    asked, fused = unpacked(packed), [np.array(own) for own in packed["fused"]]
    judged = [
        np.array(
            [
                known[one.query.question, shown(hit.chunk.text, spans, at, NEIGHBOURS)]
                for hit, spans in zip(one.hits[:READ], one.sentences[:READ], strict=True)
                for at in range(len(spans))
            ]
        )
        for one in asked
    ]
    found = {weight: fused_ranking(asked, judged, fused, weight).means() for weight in (*WEIGHTS, np.inf)}
    for weight, means in found.items():
        print(weight, means)
    best = max((weight for weight in WEIGHTS if weight), key=lambda weight: found[weight]["recall within half"])
    (out / "report.json").write_text(
        json.dumps({"chosen": {"weight": best}, "by weight": list(map(str, found.items()))})
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=1e9, help="no further question begins after so long")
    parser.add_argument("--weigh", action="store_true")
    args = parser.parse_args()
    if args.weigh:
        weigh(args.work, args.out)
    else:
        score(args.work, args.out, args.seconds)


if __name__ == "__main__":
    main()
