"""How fast the tiers of the chunk store put and get blobs, beside what the machine itself can do.

    python -m benchmarks.kv_tiers [--folder DIR] [--rounds N]

Blobs of 11 MiB (512 tokens of SmolLM2-135M) and 64 MiB (512 tokens of Llama-3-8B). Each row is the median over rounds
of GB/s (10^9 bytes) over four blobs; "limit" rows do the same work without a tier: a copy in memory, plain reads and
writes of the same files, the client's own GET and SET. "Cold" means that the page cache was told to forget the files.
The remote server is a real one on the loopback device of the same machine, sharing its cores.
"""

from __future__ import annotations

import argparse
import mmap
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from valkey import Valkey

from benchmarks.machine import describe
from ragkit.cachecraft.tiers.codec import digest
from ragkit.cachecraft.tiers.disk import DiskTier
from ragkit.cachecraft.tiers.memory import MemoryTier
from ragkit.cachecraft.tiers.remote import RemoteTier
from ragkit.cachecraft.tiers.tier import Blob, BlobTier
from tests.cachecraft.tiers.servers import running_server

COUNT = 4
SIZES = {"11 MiB": 11 << 20, "64 MiB": 64 << 20}
Work = Callable[[], object]


def rate(work: Work, size: int, rounds: int, before: Work = lambda: None) -> str:
    """Return the median GB/s of `work`, which moves four blobs of `size` bytes, with the spread."""
    rates = []
    for _ in range(rounds):
        before()
        started = time.perf_counter()
        work()
        rates.append(COUNT * size / (time.perf_counter() - started) / 1e9)
    return f"{statistics.median(rates):.2f} ({min(rates):.2f}-{max(rates):.2f})"


def forget(paths: list[Path]) -> None:
    """Tell the page cache to forget files, after they are written."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def plain_read(paths: list[Path], flags: int = 0) -> None:
    """Read files whole into memory that was made beforehand."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | flags)
        size = os.fstat(descriptor).st_size
        got, buffer = 0, memoryview(SCRATCH)
        while got < size:
            got += os.preadv(descriptor, [buffer[got : -(-size // 4096) * 4096]], got)
        os.close(descriptor)


SCRATCH = mmap.mmap(-1, 65 << 20)


def plain_write(folder: Path, blobs: list[Blob], *, sync: bool) -> None:
    """Write files without header, checksum or rename."""
    for number, blob in enumerate(blobs):
        with (folder / f"plain-{number}").open("wb", buffering=0) as file:
            rest = blob.data
            while rest:
                rest = rest[file.write(rest) :]
            if sync:
                os.fsync(file.fileno())


def get_each(tier: BlobTier, names: list[str]) -> None:
    """Get blobs one after the other; each must come."""
    for name in names:
        if tier.get([name])[0] is None:
            raise SystemExit(f"{tier.name} lost {name}: {dict(tier.failures)}")


def get_all(tier: BlobTier, names: list[str]) -> None:
    """Get blobs in one batch; each must come."""
    if any(one is None for one in tier.get(names)):
        raise SystemExit(f"{tier.name} lost a blob: {dict(tier.failures)}")


def memory_rows(blobs: dict[str, Blob], size: int, rounds: int) -> dict[str, str]:
    """Return the rates of copying, hashing and the memory tier."""
    target, tier = np.empty(size, np.uint8), MemoryTier(2 * COUNT * size)
    names = list(blobs)
    rows = {
        "limit: copy in memory": rate(lambda: [np.copyto(target, one) for one in blobs.values()], size, rounds),
        "checksum, XXH3-128": rate(lambda: [digest(one) for one in blobs.values()], size, rounds),
        "memory: put (a copy into new memory)": rate(lambda: tier.put(blobs), size, rounds),
    }
    started = time.perf_counter()
    for _ in range(1000):
        tier.get(names)
    rows["memory: get (no copy), microseconds a blob"] = f"{(time.perf_counter() - started) / 1000 / COUNT * 1e6:.2f}"
    return rows


def disk_rows(folder: Path, blobs: dict[str, Blob], size: int, rounds: int) -> dict[str, str]:
    """Return the rates of the disk tier and of plain files."""
    names, arrays = list(blobs), list(blobs.values())
    tier = DiskTier(folder / "tier", 2 * COUNT * size)
    synced = DiskTier(folder / "synced", 2 * COUNT * size, sync=True)
    rows = {
        "limit: plain write": rate(lambda: plain_write(folder, arrays, sync=False), size, rounds),
        "disk: put": rate(lambda: tier.put(blobs), size, rounds),
        "limit: plain write, fsync": rate(lambda: plain_write(folder, arrays, sync=True), size, rounds),
        "disk: put, sync": rate(lambda: synced.put(blobs), size, rounds),
    }
    buffered = DiskTier(folder / "tier", 2 * COUNT * size, direct=False)
    paths = sorted((folder / "tier").rglob("*.kv"))

    def cold() -> None:
        forget(paths)

    rows |= {
        "limit: plain read, warm": rate(lambda: plain_read(paths), size, rounds, lambda: plain_read(paths)),
        "disk: get, warm, through the page cache": rate(lambda: get_each(buffered, names), size, rounds),
        "limit: plain read, cold": rate(lambda: plain_read(paths), size, rounds, cold),
        "disk: get, cold, through the page cache": rate(lambda: get_each(buffered, names), size, rounds, cold),
        "limit: direct read (O_DIRECT)": rate(lambda: plain_read(paths, os.O_DIRECT), size, rounds, cold),
        "disk: get, direct, one by one": rate(lambda: get_each(tier, names), size, rounds, cold),
        "disk: get, direct, four at once": rate(lambda: get_all(tier, names), size, rounds, cold),
    }
    return rows


def remote_rows(blobs: dict[str, Blob], size: int, rounds: int) -> dict[str, str]:
    """Return the rates of the remote tier and of the client alone."""
    names = list(blobs)
    with running_server() as (port, _):
        client = Valkey(port=port)
        tier = RemoteTier(f"valkey://127.0.0.1:{port}", 4 * COUNT * size, seconds=30.0)
        rows = {
            "limit: SET of the client": rate(
                lambda: [client.set(name, blob.data) for name, blob in blobs.items()], size, rounds
            ),
            "remote: put": rate(lambda: tier.put(blobs), size, rounds),
            "limit: GET of the client": rate(lambda: [client.get(name) for name in names], size, rounds),
            "remote: get, one by one": rate(lambda: get_each(tier, names), size, rounds),
            "remote: get, four at once": rate(lambda: get_all(tier, names), size, rounds),
        }
        tier.close()
    return rows


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, help="where the files lie, on the disk to be measured")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    table: dict[str, dict[str, str]] = {}
    for label, size in SIZES.items():
        chance = np.random.default_rng(0)
        blobs = {f"n{n}": chance.integers(0, 256, size, dtype=np.uint8) for n in range(COUNT)}
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            rows = memory_rows(blobs, size, args.rounds)
            rows |= disk_rows(Path(folder), blobs, size, args.rounds)
            rows |= remote_rows(blobs, size, args.rounds)
        for row, value in rows.items():
            table.setdefault(row, {})[label] = value
    print(f"{describe('xxhash', 'valkey')}. GB/s, median of {args.rounds} rounds (least-most).\n")
    print(f"| | {' | '.join(SIZES)} |\n| --- | {' | '.join('---:' for _ in SIZES)} |")
    for row, values in table.items():
        print(f"| {row} | {' | '.join(values[label] for label in SIZES)} |")


if __name__ == "__main__":
    main()
