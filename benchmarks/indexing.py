"""What indexing costs beside embedding, what an unchanged or nearly unchanged folder costs, and its peak memory.

python -m benchmarks.indexing overhead [DATA_FOLDER]
python -m benchmarks.indexing again
python -m benchmarks.indexing memory MEGABYTES
"""

from __future__ import annotations

import json
import random
import resource
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.machine import describe
from ragkit.config import PipelineConfig
from ragkit.pipeline import Pipeline

HASHING = PipelineConfig.from_mapping({"embedder": {"name": "hashing"}})
REPEATS = 3


def overhead(data: Path) -> None:
    """Time the bare embedder on the chunks of squad_a, and the whole of indexing them, in turn."""
    from sentence_transformers import SentenceTransformer

    from ragkit.models.hub import model_folder

    corpus = data / "squad_a" / "corpus.jsonl.gz"
    model = SentenceTransformer(str(model_folder("all-MiniLM-L6-v2")), device="cpu")
    model.max_seq_length = 512
    texts: list[str] = []
    bare, whole = [], []
    for turn in range(REPEATS + 1):
        with tempfile.TemporaryDirectory() as scratch:
            config = PipelineConfig()
            with Pipeline(Path(scratch) / "index", config) as pipeline:
                pipeline.embedder.embed_queries(["warm up"])
                started = time.perf_counter()
                pipeline.index([corpus])
                took = time.perf_counter() - started
                rows = pipeline.snapshot.live_rows().tolist()
                texts = [stored.chunk.index_text for stored in pipeline.snapshot.chunks(rows)]
        started = time.perf_counter()
        model.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
        encode = time.perf_counter() - started
        if turn:  # the first is the warm-up
            whole.append(took)
            bare.append(encode)
    print(
        f"{len(texts)} chunks; SentenceTransformer.encode {statistics.median(bare):.2f} s {bare}; "
        f"ragkit index {statistics.median(whole):.2f} s {whole}; "
        f"ratio {statistics.median(whole) / statistics.median(bare):.3f}"
    )


def again(files: int = 10_000) -> None:
    """Index a folder of small files, index it again unchanged, and again with one file changed."""
    chance = random.Random(0)
    words = [f"word{number}" for number in range(5000)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "documents"
        for number in range(files):
            path = folder / f"{number // 100:03d}" / f"{number:05d}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# File {number}\n\n" + " ".join(chance.choices(words, k=200)))
        time.sleep(3)  # so that no file is fresher than the clock can tell
        for label in ("first run", "unchanged", "unchanged", "one file changed"):
            if label == "one file changed":
                (folder / "000" / "00007.md").write_text("# File 7\n\nchanged")
            started = time.perf_counter()
            with Pipeline(Path(scratch) / "index", HASHING) as pipeline:
                report = pipeline.index([folder])
            print(
                f"{files} files, {label}: {time.perf_counter() - started:.2f} s "
                f"(added {report.added}, updated {report.updated}, unchanged {report.unchanged})",
                flush=True,
            )


class AnonymousPeak:
    """Samples this process's anonymous memory: what is its own, mapped files left out."""

    def __init__(self) -> None:
        self._peak = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    self._peak = max(self._peak, int(line.split()[1]))
            time.sleep(0.02)

    def mebibytes(self) -> float:
        """Return the highest value seen, in MiB."""
        return self._peak / 1024


def memory(megabytes: int) -> None:
    """Index that much text as JSONL with the hashing embedder; print the peak resident memory of this process."""
    chance = random.Random(0)
    words = [f"w{number:x}" for number in range(50_000)]
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "corpus.jsonl"
        written = 0
        with corpus.open("w") as lines:
            while written < megabytes * 10**6:
                text = ". ".join(" ".join(chance.choices(words, k=12)) for _ in range(60))
                written += lines.write(json.dumps({"doc_id": str(written), "text": text}) + "\n")
        anonymous = AnonymousPeak()
        started = time.perf_counter()
        with Pipeline(Path(scratch) / "index", HASHING) as pipeline:
            report = pipeline.index([corpus])
        took = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{written / 1e6:.0f} MB: {report.documents} documents, {report.chunks} chunks, {took:.0f} s, "
        f"{written / 1e6 / took:.2f} MB/s, peak {peak:.0f} MiB resident, {anonymous.mebibytes():.0f} MiB anonymous",
        flush=True,
    )


if __name__ == "__main__":
    print(describe())
    match sys.argv[1:]:
        case ["overhead", *rest]:
            overhead(Path(rest[0] if rest else "../shared/data"))
        case ["again"]:
            again()
        case ["memory", size]:
            memory(int(size))
        case _:
            sys.exit(__doc__)
