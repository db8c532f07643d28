"""kill -9 in the middle of `ragkit index`, at random moments: generation n or n+1, whole, and readable, every time."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from ragkit.pipeline import Pipeline
from tests.small_files import HASHING, change
from tests.test_equal_to_fresh import found

KILLS = int(os.environ.get("RAGKIT_KILLS", "8"))
FILES = 150


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.crash.indexing_child", str(folder / "documents"), "--index"]
    child = subprocess.Popen(
        [*command, str(folder / "index"), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    assert child.stdout.readline().startswith("ready")
    return child


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def test_a_kill_leaves_one_whole_generation(tmp_path: Path) -> None:
    chance = random.Random(20)
    documents, index = tmp_path / "documents", tmp_path / "index"
    change(documents, 0, FILES)
    with Pipeline(index, HASHING) as pipeline:
        generation = pipeline.index([documents]).generation
    change(documents, 1, FILES)
    child = start(tmp_path)
    started = time.perf_counter()
    go(child)
    assert child.wait() == 0
    whole_run = time.perf_counter() - started
    generation += 1
    outcomes = {"old": 0, "new": 0}
    for turn in range(KILLS):
        change(documents, 2 + turn, FILES)
        child = start(tmp_path)
        go(child)
        time.sleep(chance.uniform(0, 1.1) * whole_run)
        child.kill()
        child.wait()
        with Pipeline(index) as pipeline:
            report = pipeline.verify()
            assert report.problems == ()
            assert report.generation in (generation, generation + 1)
            outcomes["new" if report.generation > generation else "old"] += 1
            generation = report.generation
            assert pipeline.retrieve("the harbour in winter", 3)
    with Pipeline(index) as pipeline, Pipeline(tmp_path / "fresh", HASHING) as fresh:
        pipeline.index([documents])
        fresh.index([documents])
        assert found(pipeline) == found(fresh)
    sys.stdout.write(f"{KILLS} kills: {outcomes['old']} left generation n, {outcomes['new']} generation n+1\n")


def test_a_kill_of_the_first_run_leaves_no_index_or_an_empty_or_whole_one(tmp_path: Path) -> None:
    chance = random.Random(21)
    change(tmp_path / "documents", 0, 20)
    config = tmp_path / "ragkit.yaml"
    config.write_text("embedder: {name: hashing, dimension: 64}\nchunker: {name: recursive, size: 24}\n")
    for turn in range(max(3, KILLS // 4)):
        folder = tmp_path / str(turn)
        folder.mkdir()
        (folder / "documents").symlink_to(tmp_path / "documents")
        child = start(folder, "--config", str(config))
        go(child)
        time.sleep(chance.uniform(0, 0.3))
        child.kill()
        child.wait()
        if (folder / "index" / "ledger.sqlite").exists():
            with Pipeline(folder / "index") as pipeline:
                assert pipeline.verify().problems == ()
                assert pipeline.verify().generation in (0, 1)
