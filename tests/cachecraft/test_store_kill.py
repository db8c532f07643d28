"""kill -9 of a process that writes a chunk store, ten times at random moments: what is there afterwards is whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from ragkit.cachecraft.core.keys import variant_name
from ragkit.cachecraft.store import ChunkStore
from tests.cachecraft.variants import SPACE, body, equal, plan_of, variant

KILLS = int(os.environ.get("RAGKIT_KILLS", "10"))
VARIANTS = 60
SIZE = 100_000


def main(folder: Path) -> None:
    """Save, use, evict and load until killed; the disk holds half of the variants."""
    with ChunkStore(SPACE, folder, memory_bytes=10 * SIZE, disk_bytes=VARIANTS // 2 * SIZE) as store:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        chance = random.Random(os.getpid())
        while True:
            number = chance.randrange(VARIANTS)
            store.save(variant(number), body(number, SIZE), always=True)
            store.used(plan_of(variant(number)))


def test_whatever_a_kill_leaves_is_true(tmp_path: Path):
    chance = random.Random(3)
    by_name = {variant(number).name: number for number in range(VARIANTS)}
    seen = []
    for _ in range(KILLS):
        command = [sys.executable, "-m", "tests.cachecraft.test_store_kill", str(tmp_path)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0, 0.4))
        child.kill()
        child.wait()
        with ChunkStore(SPACE, tmp_path, disk_bytes=VARIANTS // 2 * SIZE) as store:
            assert not store.read_only
            names = [one.name for one in store.index]
            assert all(equal(one, variant(by_name[one.name])) for one in store.index)
            loaded = store.load(names)
            assert all(np.array_equal(blob, body(by_name[name], SIZE)) for name, blob in loaded.items())
            assert set(loaded) == set(names)
            stats = store.stats()
            assert stats.failures == {}
            assert stats.tiers[1].used == len(names) * SIZE
            assert not list((tmp_path / SPACE / "temporary").iterdir())
            seen.append(len(names))
    assert max(seen) > 5


def test_names_do_not_depend_on_the_process():
    one = variant(3)
    assert one.name == variant_name(one.chunk, "prefix", ("one", "two"), 7)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
