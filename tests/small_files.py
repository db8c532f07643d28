"""A folder of small documents that changes from turn to turn, and a pipeline that indexes it in a moment."""

from __future__ import annotations

import random
from pathlib import Path

from ragkit.config import PipelineConfig

WORDS = [
    "harbour",
    "lantern",
    "river",
    "copper",
    "meadow",
    "engine",
    "winter",
    "signal",
    "orchard",
    "marble",
    "thunder",
    "velvet",
    "compass",
    "granite",
    "falcon",
    "timber",
    "glacier",
    "saffron",
    "anchor",
    "ribbon",
    "cathedral",
    "mosaic",
    "the",
    "of",
    "and",
    "in",
    "to",
    "is",
    "was",
    "for",
    "with",
    "as",
    "by",
]

HASHING = PipelineConfig.from_mapping(
    {"embedder": {"name": "hashing", "dimension": 64}, "chunker": {"name": "recursive", "size": 24}}
)


def text(seed: int, words: int = 120) -> str:
    """Return paragraphs of random words, the same for the same seed."""
    chosen = random.Random(seed).choices(WORDS, k=words)
    sentences = [" ".join(chosen[at : at + 9]).capitalize() + "." for at in range(0, words, 9)]
    return "\n\n".join(" ".join(sentences[at : at + 4]) for at in range(0, len(sentences), 4)) + "\n"


def change(folder: Path, seed: int, files: int = 12) -> None:
    """Write, rewrite and delete some of the files of `folder`, the same way for the same seed."""
    chance = random.Random(seed)
    folder.mkdir(exist_ok=True)
    for number in range(files):
        path = folder / f"note-{number:03d}.md"
        match chance.randrange(4):
            case 0:
                path.unlink(missing_ok=True)
            case 1 | 2:
                path.write_text(f"# Note {number}\n\n{text(chance.randrange(10**6))}")
    (folder / "always.txt").write_text(text(1))
