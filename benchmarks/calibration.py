"""How good a reranker's scores are as shares of relevant chunks, raw and calibrated, on questions held out.

    python -m benchmarks.calibration [DATA_FOLDER] [--reranker NAME] [--work DIR]

What `ragkit train calibration --data jsonl:chunking_eval --data jsonl:contract_nli` says, as a table: 20 chunks of
hybrid retrieval a question, 70 % of the questions fitted, the Brier score on the chunks of the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.machine import describe
from ragkit.cli.train_corag_agent import base_content
from ragkit.config import PartConfig
from ragkit.eval.datasets import load
from ragkit.eval.experiment.run import default_work
from ragkit.eval.experiment.workshop import Workshop
from ragkit.train.calibration import CalibrationPlan, train_calibration

SETS = ("chunking_eval", "contract_nli")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("--reranker", default="cosine")
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    sets = [load(f"jsonl:{args.data / name}") for name in SETS]
    plan = CalibrationPlan(PartConfig(name=args.reranker), base_content(None))
    with Workshop(args.work or default_work(), "words", lambda *_: None) as workshop:
        done = train_calibration(workshop, sets, plan)
    result, found = done.result, done.result.difference
    print(
        f"{' and '.join(SETS)}: {result.fitted:,} chunks fitted, {result.judged:,} of other questions judged, "
        f"{result.relevant:.1%} of them relevant; {describe()}.\n"
    )
    print("| score as a share | Brier score |\n|---|---:|")
    print(f"| `{done.reranker}`, isotonic | {result.brier:.4f} |")
    print(f"| always the same share | {result.constant:.4f} |")
    if result.default is not None:
        print(f"| `{done.reranker}` on its own scale | {result.default:.4f} |")
    print(
        f"\nIsotonic less always the same share: {found.estimate:+.4f} [{found.low:+.4f}, {found.high:+.4f}], "
        "95 % interval over questions, each of which counts the same (in the table each chunk does)."
    )


if __name__ == "__main__":
    main()
