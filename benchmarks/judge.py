"""Cross-encoders trained on open data, and what they do as judges of sentences and chunks.

    python -m benchmarks.judge pack  --data D --work W [--indexes I]    retrieve; W then holds all that training needs
    python -m benchmarks.judge train KIND --work W --models M --out O   on a GPU: choose, train, score; writes O
    python -m benchmarks.judge table --data D [--work E] --scores O     the rows of the selector table
    python -m benchmarks.judge join  --work W --scores O --out MODEL    a model folder from what `train` wrote

KIND: `encoder` begins with MiniLM (22 million parameters), `decoder` with SmolLM2-135M-Instruct; `student` is MiniLM
again and learns from the decoder, which must be trained before, beside the labels.

Training: squad_a, xquad_a (English), scifact, multihop_rag_a, tatqa_dev, musique and, in the last run only,
policyqa_dev. The settings are chosen by policyqa_dev, which the runs that are compared have not seen; of chunking_eval
and contract_nli only questions and texts are packed, no evidence, and nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.judge_pack import NEIGHBOURS, READ, Texts, english, half, packed, pairs_of, written
from ragkit.train.asked import Asked

VALIDATION = "policyqa_dev"
TRAINING = ("squad_a", "xquad_a", "multihop_rag_a", "tatqa_dev", "musique")
LEXICAL = ("scifact",)
"""Retrieved by words alone: embedding its 5,183 abstracts would take longer than everything else."""
TABLES = ("chunking_eval", "contract_nli", VALIDATION)


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


def join(work: Path, parts: Path, out: Path) -> None:
    """Write a model folder, in float32, from the weights in `parts` and the encoder's tokenizer in `work`."""
    from safetensors.numpy import load, save_file

    out.mkdir(parents=True, exist_ok=True)
    content = b"".join(path.read_bytes() for path in sorted(parts.glob("model.part*")))
    weights = {name: one.astype(np.float32) if one.dtype == np.float16 else one for name, one in load(content).items()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((work / "encoder" / "config.json").read_text())
    config |= {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}, "dtype": "float32"}
    (out / "config.json").write_text(json.dumps({**config, "label2id": {"LABEL_0": 0}}, indent=1))
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
    parser.add_argument("kind", nargs="?", choices=("encoder", "decoder", "student"), default="encoder")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--indexes", type=Path, default=Path("judge-indexes"))
    parser.add_argument("--models", type=Path, default=Path("judge-models"), help="what is trained is kept here")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--sample", type=int, help="so many questions of each set in the table")
    parser.add_argument("--seconds", type=float, default=230.0, help="no further setting is tried after half of them")
    parser.add_argument("--quick", action="store_true", help="a few questions, to see that it runs")
    args = parser.parse_args()
    match args.step:
        case "pack":
            pack(args.data, args.work, args.indexes)
        case "train":
            from benchmarks.judge_training import Training

            Training(args.kind, args.work, args.models, args.out, args.device, args.quick, args.seconds).run()
        case "join":
            join(args.work, args.scores, args.out)
        case "table":
            table(args.data, args.work, args.scores, args.sample)


if __name__ == "__main__":
    main()
