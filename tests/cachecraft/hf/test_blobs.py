"""Keys and values as bytes, and the cache of tensors on the device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cachecraft.hf.blobs import from_blob, to_blob
from ragkit.cachecraft.hf.device_cache import DeviceCache
from ragkit.cachecraft.hf.key_values import Shape
from ragkit.errors import ConfigError, UsageError
from tests.cachecraft.hf import tiny


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_there_and_back_without_a_copy(dtype):
    shape = Shape(3, 2, 8, dtype)
    tensor = torch.randn(shape.tensor(5)).to(dtype)
    blob = to_blob(tensor)
    assert blob.dtype == np.uint8
    assert blob.size == 5 * shape.token_bytes
    assert blob.ctypes.data == tensor.data_ptr()
    blob.setflags(write=False)
    back = from_blob(blob, 5, shape)
    assert torch.equal(back, tensor)
    assert back.data_ptr() == tensor.data_ptr()


def test_a_blob_outlives_its_name():
    shape = Shape(3, 2, 8, torch.float32)
    expected = torch.randn(shape.tensor(400))
    back = from_blob(np.array(to_blob(expected)), 400, shape)
    _ = [np.zeros(expected.nbytes, np.uint8) for _ in range(20)]
    assert torch.equal(back, expected)


@pytest.mark.parametrize("skip", [1, 2])
def test_bytes_that_lie_badly_are_copied(skip):
    shape = Shape(1, 1, 4, torch.float32)
    tensor = torch.randn(shape.tensor(3))
    blob = np.concatenate([np.zeros(skip, np.uint8), to_blob(tensor)])[skip:]
    assert torch.equal(from_blob(blob, 3, shape), tensor)


def test_another_size_is_refused():
    shape = Shape(1, 1, 4, torch.bfloat16)
    with pytest.raises(UsageError, match="has 48 bytes for them"):
        from_blob(np.zeros(47, np.uint8), 3, shape)


def test_a_run_takes_blobs_as_it_takes_tensors():
    engine = tiny.backend(torch.bfloat16)
    layout = tiny.prompt(11, 7)
    variants = tiny.alone(engine, layout)
    plan = tiny.repairing(layout, variants, [6, 7])
    held = {name: engine.to_blob(tensor) for name, tensor in tiny.blobs(variants).items()}
    before = {name: blob.copy() for name, blob in held.items()}
    for blob in held.values():
        blob.setflags(write=False)
    assert torch.equal(engine.run(plan, held).logits, engine.run(plan, tiny.blobs(variants)).logits)
    assert all((held[name] == before[name]).all() for name in held)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 40)), max_size=40), st.integers(0, 100))
def test_the_device_cache_never_exceeds_its_bytes(puts, capacity):
    cache = DeviceCache(capacity)
    for name, size in puts:
        assert cache.put(str(name), torch.zeros(size, dtype=torch.uint8)) == (size <= capacity)
        assert cache.used <= capacity
        if size <= capacity:
            assert cache.get(str(name)).nbytes == size
    cache.clear()
    assert (cache.used, len(cache)) == (0, 0)


def test_the_least_recently_used_leaves_first():
    cache = DeviceCache(3)
    for name in "abc":
        cache.put(name, torch.zeros(1, dtype=torch.uint8))
    assert cache.get("a") is not None
    cache.put("d", torch.zeros(1, dtype=torch.uint8))
    assert cache.get("b") is None
    assert cache.get("a") is not None
    cache.remove("a")
    assert (cache.used, cache.hits, cache.misses) == (2, 2, 1)


def test_what_is_missing_is_loaded_once():
    cache, asked = DeviceCache(100), []

    def load(names):
        asked.append(list(names))
        return {name: np.full(4, 7, np.uint8) for name in names if name != "lost"}

    def restore(blob, tokens):
        return torch.from_numpy(blob[:tokens])

    assert set(cache.tensors({"a": 4, "lost": 4}, load, restore)) == {"a"}
    assert set(cache.tensors({"a": 4, "b": 4}, load, restore)) == {"a", "b"}
    assert cache.tensors({"b": 4}, load, restore)["b"].tolist() == [7] * 4
    assert asked == [["a", "lost"], ["b"]]


def test_a_negative_capacity_is_refused():
    with pytest.raises(ConfigError):
        DeviceCache(-1)
