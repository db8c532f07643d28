"""The weights of `extractive: {scorer: learned}`, and what they gain on each data set that they were not learnt from.

    python -m benchmarks.sentence_weights [DATA_FOLDER] [--questions 500] [--indexes DIR]

chunking_eval and contract_nli, on which selectors are compared, are not among the sets.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.judge_pack import english
from ragkit.config import PipelineConfig
from ragkit.eval.datasets import load
from ragkit.parts import make_embedder
from ragkit.selectors.extractive_fusion import FusedSentences
from ragkit.train.mining import asked_of
from ragkit.train.sentence_weights import learnt

SETS = {
    "policyqa_dev": ["policyqa_dev"],
    "squad_a and xquad_a (English)": ["squad_a", "xquad_a"],
    "tatqa_dev": ["tatqa_dev"],
    "multihop_rag_a": ["multihop_rag_a"],
}
"""The English questions of xquad_a are asked of the same articles as those of squad_a: one set."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, nargs="?", default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--questions", type=int, default=500, help="the first so many of each set")
    parser.add_argument("--indexes", type=Path, default=Path("judge-indexes"))
    args = parser.parse_args()
    config = PipelineConfig.from_mapping({"chunker": {"name": "recursive", "size": 200}})
    asked = {
        label: [
            one
            for name in names
            for one in asked_of(english(load(f"jsonl:{args.data / name}")), args.indexes / name, config)[
                : args.questions
            ]
        ]
        for label, names in SETS.items()
    }
    print(json.dumps(learnt(asked, FusedSentences(make_embedder(config))), indent=1))


if __name__ == "__main__":
    main()
