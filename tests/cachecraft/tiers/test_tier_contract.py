"""What every tier promises, checked on each: memory, disk (direct and plain reads), remote, and all three together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.cachecraft.tiers.disk import DiskTier
from ragkit.cachecraft.tiers.memory import MemoryTier
from ragkit.cachecraft.tiers.remote import RemoteTier
from ragkit.cachecraft.tiers.tier import BlobTier
from ragkit.cachecraft.tiers.tiered import Tiered
from tests.cachecraft.tiers.blobs import blob, same
from tests.cachecraft.tiers.servers import running_server

CAPACITY = 100_000


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with running_server() as (port, _):
        yield port


@pytest.fixture(params=["memory", "disk", "plain disk", "remote", "tiered"])
def tier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobTier]:
    def remote() -> RemoteTier:
        port = request.getfixturevalue("server")
        return RemoteTier(f"valkey://127.0.0.1:{port}", CAPACITY, scope=tmp_path.name, part_bytes=7_000)

    made: dict[str, BlobTier] = {}
    match request.param:
        case "memory":
            made["tier"] = MemoryTier(CAPACITY)
        case "disk":
            made["tier"] = DiskTier(tmp_path, CAPACITY)
        case "plain disk":
            made["tier"] = DiskTier(tmp_path, CAPACITY, direct=False)
        case "remote":
            made["tier"] = remote()
        case _:
            made["tier"] = Tiered(MemoryTier(30_000), [DiskTier(tmp_path, CAPACITY), remote()])
    yield made["tier"]
    made["tier"].close()


SIZES = [0, 1, 511, 4095, 4096, 4097, 20_000]


def test_what_is_kept_comes_back_bit_for_bit(tier: BlobTier):
    blobs = {f"n{size}": blob(size) for size in SIZES}
    assert tier.put(blobs) == set(blobs)
    names = ["absent", *blobs, "absent"]
    assert tier.exists(names) == [False, *[True] * len(SIZES), False]
    found = tier.get(names)
    assert found[0] is None
    assert found[-1] is None
    assert all(same(one, blobs[name]) for name, one in zip(names[1:-1], found[1:-1], strict=True))
    assert all(not one.flags.writeable for one in found if one is not None)
    if isinstance(tier, Tiered):
        assert tier.flush(10)
    assert set(tier.names()) == set(blobs)
    assert tier.used == sum(SIZES)
    assert not tier.failures


def test_a_blob_is_what_it_was_when_it_was_put(tier: BlobTier):
    array = blob(5000)
    before = array.copy()
    tier.put({"a": array})
    array[:] = 0
    assert same(tier.get(["a"])[0], before)


def test_a_name_put_again_is_the_newer_blob(tier: BlobTier):
    for seed in range(3):
        tier.put({"a": blob(9000 + seed, seed)})
        assert same(tier.get(["a"])[0], blob(9000 + seed, seed))
    if isinstance(tier, Tiered):
        assert tier.flush(10)
    assert tier.used == 9002


def test_what_is_deleted_is_gone(tier: BlobTier):
    tier.put({"a": blob(3000), "b": blob(4000)})
    if isinstance(tier, Tiered):
        assert tier.flush(10)
    tier.delete(["a", "absent"])
    found = tier.get(["a", "b"])
    if found[0] is not None:  # the remote tier deletes in the background
        assert same(found[0], blob(3000))
    assert same(found[1], blob(4000))


def test_never_more_bytes_than_the_capacity(tier: BlobTier):
    for number in range(30):
        tier.put({f"n{number}": blob(9_999, number)})
        assert tier.used <= CAPACITY
        found = tier.get([f"n{number}"])[0]
        assert found is None or same(found, blob(9_999, number))


def test_a_blob_larger_than_the_tier_is_not_kept_and_counted(tier: BlobTier):
    huge = blob(CAPACITY + 1)
    tier.put({"huge": huge, "small": blob(10)})
    if isinstance(tier, Tiered):
        tier.flush(10)
    assert tier.get(["huge"]) == [None]
    assert same(tier.get(["small"])[0], blob(10))
    assert sum(tier.failures.values()) >= 1


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../../etc/x", "ä€ 😀", "A", "a", "%2e", "con", " ", "x" * 60])
def test_any_name_is_a_name_and_stays_inside(tier: BlobTier, tmp_path: Path, name: str):
    assert tier.put({name: blob(100), f"{name}!": blob(100, 1)}) == {name, f"{name}!"}
    assert same(tier.get([name])[0], blob(100))
    assert {name, f"{name}!"} <= set(tier.names())


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["put", "get", "delete"]), st.integers(0, 7), st.integers(0, 600)), max_size=40
    )
)
@settings(max_examples=60)
def test_memory_is_the_least_recently_used_of_a_byte_budget(steps: list[tuple[str, int, int]]):
    """Against a model written down as a list, the oldest first."""
    tier, model = MemoryTier(1000), list[tuple[str, int]]()
    for step, key, size in steps:
        name = str(key)
        known = dict(model)
        match step:
            case "put":
                tier.put({name: np.zeros(size, np.uint8)})
                model = [entry for entry in model if entry[0] != name] + [(name, size)]
                while sum(entry[1] for entry in model) > 1000:
                    model.pop(0)
            case "get":
                assert (tier.get([name])[0] is not None) == (name in known)
                model = [entry for entry in model if entry[0] != name] + (
                    [(name, known[name])] if name in known else []
                )
            case _:
                tier.delete([name])
                model = [entry for entry in model if entry[0] != name]
        assert tier.names() == [entry[0] for entry in model]
        assert tier.used == sum(entry[1] for entry in model)


def test_memory_of_a_factory_holds_all_blobs():
    given_out = []

    def allocate(size: int):
        given_out.append(np.zeros(size, np.uint8))
        return given_out[-1]

    tier = MemoryTier(1000, allocate=allocate)
    frozen = blob(300)
    frozen.flags.writeable = False
    tier.put({"a": blob(200), "b": frozen})
    found = tier.get(["a", "b"])
    assert [np.shares_memory(one, own) for one, own in zip(found, given_out, strict=True)] == [True, True]

    def refuse(size: int):
        raise MemoryError

    full = MemoryTier(1000, allocate=refuse)
    assert full.put({"a": blob(200)}) == set()
    assert full.failures == {"no memory": 1}
