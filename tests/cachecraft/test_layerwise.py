"""Chunks used layer by layer while they come from the disk: the bits of a whole load, and whatever breaks is a miss."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ragkit.cachecraft.core.planning import full_plan
from ragkit.cachecraft.core.preload import Pace
from ragkit.cachecraft.fetching import NOT_LOADED
from ragkit.cachecraft.hf.incoming import Incoming
from ragkit.cachecraft.hf.placing import Placing
from ragkit.cachecraft.reuse import ChunkReuse
from ragkit.cachecraft.store import ChunkStore
from ragkit.cachecraft.tiers import arriving
from ragkit.cachecraft.tiers.blob_file import Reader
from ragkit.cachecraft.tiers.codec import PAGE
from ragkit.config import KvReuseConfig
from tests.cachecraft.hf import tiny

LENGTHS = (400, 300, 350)
STEP = 65_536
LAYERS = 8
WHOLE = tiny.prompt(*LENGTHS)
PIECES = WHOLE.pieces
MOVED = type(WHOLE)((PIECES[0], *PIECES[3:5], *PIECES[5:7], *PIECES[1:3], PIECES[-1]))
"""The same chunks in another order."""


def engine(dtype: torch.dtype = torch.float64):
    from ragkit.cachecraft.hf.backend import HfBackend

    return HfBackend(tiny.model(dtype, num_hidden_layers=LAYERS), "tiny")


ENGINE = engine()


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(arriving, "_STEP", STEP)


def config(policy: str = "query_probe", share: float = 0.3) -> KvReuseConfig:
    return KvReuseConfig(policy=policy, share=share)


def fill(folder: Path, backend=ENGINE) -> None:
    with ChunkStore(backend.space.key, folder, admission="always") as store:
        assert ChunkReuse(backend, store, config()).reply(WHOLE, 1).report.kept == 4


def computed(folder: Path, settings: KvReuseConfig, *, layerwise: bool = True, backend=ENGINE, patience: float = 20.0):
    """Return what one prompt takes from a store that has just been opened, and the store's failures."""
    with ChunkStore(backend.space.key, folder, admission="always", patience=patience) as store:
        done = ChunkReuse(backend, store, settings, layerwise=layerwise).compute(MOVED, room=8)
        failures = store.stats().failures
    return done, dict(failures)


@pytest.fixture
def placed(monkeypatch) -> list[int]:
    """The layers that were put into their slots one by one."""
    seen: list[int] = []
    call = Placing.__call__

    def watched(self: Placing, layer: int) -> None:
        before = self._next
        call(self, layer)
        seen.extend(range(before, self._next))

    monkeypatch.setattr(Placing, "__call__", watched)
    return seen


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("policy", ["query_probe", "hkvd", "epic", "cachecraft", "none"])
def test_the_logits_are_those_of_the_whole_load_bit_for_bit(tmp_path, policy, dtype, placed):
    backend = engine(dtype)
    fill(tmp_path, backend)
    whole, _ = computed(tmp_path, config(policy), layerwise=False, backend=backend)
    assert not placed
    layered, failures = computed(tmp_path, config(policy), backend=backend)
    assert placed[:LAYERS] == list(range(LAYERS)) or policy == "hkvd", "each layer once, in order"
    assert torch.equal(whole.state.logits, layered.state.logits)
    for one, other in ((whole, layered), (layered, whole)):
        assert torch.equal(one.state.key_values.keys[..., :-9, :], other.state.key_values.keys[..., :-9, :])
        assert torch.equal(one.state.key_values.values[..., :-9, :], other.state.key_values.values[..., :-9, :])
    assert whole.loaded_bytes == layered.loaded_bytes == (sum(LENGTHS) + 4) * backend.token_bytes
    assert (whole.failures, layered.failures, failures) == ([], [], {})
    assert np.array_equal(whole.plan.fresh, layered.plan.fresh)


@pytest.mark.parametrize("policy", ["query_probe", "epic"])
def test_no_pass_begins_before_the_layers_that_it_needs_are_there(tmp_path, monkeypatch, policy):
    fill(tmp_path)
    step, loaded, seen = Reader.step, ENGINE.loaded, []

    def slow(self: Reader, least: int) -> None:
        time.sleep(0.02)
        step(self, least)

    def begun(plans, blobs, *rest, **options):
        incoming = [one for one in blobs.values() if isinstance(one, Incoming)]
        seen.append(min(one.arriving._ready * LAYERS // one.arriving.size for one in incoming))
        return loaded(plans, blobs, *rest, **options)

    monkeypatch.setattr(Reader, "step", slow)
    monkeypatch.setattr(ENGINE, "loaded", begun)
    for depth in (1, 6):
        monkeypatch.setattr(Pace, "depth", lambda *_, depth=depth: depth)
        done, _ = computed(tmp_path, config(policy))
        assert done.loaded_bytes > 0
    early, late = seen
    assert early < 6 <= late, "a whole load would not show it"


def test_what_was_used_lies_in_memory_afterwards(tmp_path, placed):
    fill(tmp_path)
    with ChunkStore(ENGINE.space.key, tmp_path, admission="always") as store:
        reuse = ChunkReuse(ENGINE, store, config("none"))
        first = reuse.compute(MOVED)
        wait = threading.Event()
        while store.stats().tiers[0].blobs < 4 and not wait.wait(0.01):
            pass
        assert len(placed) == LAYERS
        again = reuse.compute(MOVED)
        assert len(placed) == LAYERS, "nothing was on its way"
        assert torch.equal(first.state.logits, again.state.logits)
        assert store.stats().loads == {"disk": 4, "memory": 4}


def test_layers_are_copied_to_a_device_as_they_come(tmp_path, monkeypatch, placed):
    """A second name of the CPU stands for a GPU: what comes is copied, and the whole tensor is left for its cache."""
    fill(tmp_path)
    whole, _ = computed(tmp_path, config(), layerwise=False)
    monkeypatch.setattr(ENGINE, "device", torch.device("cpu", 0))
    copies = []
    incoming = ENGINE.incoming
    monkeypatch.setattr(ENGINE, "incoming", lambda *args: (copies.append(incoming(*args)), copies[-1])[1])
    layered, _ = computed(tmp_path, config())
    assert torch.equal(whole.state.logits, layered.state.logits)
    assert len(copies) == 4
    for one in copies:
        assert one.whole().data_ptr() != one.arriving.blob.ctypes.data
        assert one.whole().numpy().tobytes() == one.arriving.blob.tobytes()


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_repair_pass_over_the_probes_cache_gives_the_bits_of_a_fresh_one(tmp_path, share, monkeypatch):
    fill(tmp_path)
    shared, _ = computed(tmp_path, config(share=share))
    assert shared.scored > 0
    loaded = []
    load = ENGINE.loaded
    monkeypatch.setattr(ENGINE, "loaded", lambda *args, **options: (loaded.append(1), load(*args, **options))[1])
    computed(tmp_path, config(share=share))
    assert len(loaded) == 1, "once for both passes"
    run = ENGINE.run
    monkeypatch.setattr(ENGINE, "run", lambda *args, **options: run(*args, **{**options, "over": None}))
    alone, _ = computed(tmp_path, config(share=share))
    assert len(loaded) == 3
    assert torch.equal(shared.state.logits, alone.state.logits)
    answers = [ENGINE.decode([one.state], 8)[0] for one in (shared, alone)]
    assert answers[0] == answers[1]


# What can go wrong


def largest(folder: Path) -> Path:
    return max(folder.rglob("*.kv"), key=lambda path: path.stat().st_size)


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(PAGE + int(0.7 * (path.stat().st_size - PAGE)))
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


def cut(path: Path) -> None:
    os.truncate(path, PAGE + int(0.7 * (path.stat().st_size - PAGE)))


def when_read(monkeypatch, size: int, happens, part: float = 0.5) -> None:
    """Let something happen when part of the blob of that size is read."""
    step, once = Reader.step, []

    def disturbed(self: Reader, least: int) -> None:
        if self.size == size and self.ready >= part * size and not once:
            once.append(1)
            happens()
        step(self, least)

    monkeypatch.setattr(Reader, "step", disturbed)


@pytest.mark.filterwarnings("ignore:The chunk store")
@pytest.mark.parametrize("policy", ["query_probe", "hkvd"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "truncated meanwhile", "removed", "hangs", "fails"])
def test_what_is_lost_half_way_is_computed(tmp_path, monkeypatch, policy, damage, placed):
    fill(tmp_path)
    path = largest(tmp_path)
    size = path.stat().st_size - PAGE
    hold = threading.Event()

    def fail() -> None:
        raise OSError("the disk is gone")

    {"flipped": lambda: flip(path), "truncated": lambda: cut(path)}.get(damage, lambda: None)()
    if damage in {"truncated meanwhile", "hangs", "fails"}:
        happens = {"truncated meanwhile": lambda: cut(path), "hangs": lambda: hold.wait(30), "fails": fail}[damage]
        when_read(monkeypatch, size, happens)
    if damage == "removed":
        when_read(monkeypatch, size, path.unlink, part=0)
    exact, failures = computed(tmp_path, config(policy, 1.0), patience=0.5 if damage == "hangs" else 20.0)
    hold.set()
    truth = ENGINE.run(full_plan(MOVED), {}, room=8)
    assert torch.allclose(exact.state.logits, truth.logits, atol=1e-9)
    assert ENGINE.decode([exact.state], 8) == ENGINE.decode([truth], 8), "the right text"
    lost = [reason for _, reason in exact.plan.reasons]
    # what the system refused for a moment is read again; the rest is lost
    assert set(lost) == (set() if damage == "fails" else {NOT_LOADED})
    assert sum(failures.values()) >= 1
    assert ("came in time" in str(exact.failures)) == (damage == "hangs")
    if damage in {"flipped", "truncated meanwhile", "fails"}:
        begun = placed.index(0, 1)
        assert 0 < begun < LAYERS, "the forward had begun"
        assert placed[begun:] == list(range(LAYERS)), "and was done again"
        assert len(lost) == (damage != "fails")


@pytest.mark.parametrize("policy", ["query_probe", "epic"])
def test_a_lost_chunk_leaves_the_prompt_as_one_that_was_never_stored(tmp_path, policy):
    fill(tmp_path / "a")
    flip(largest(tmp_path / "a"))
    lost, failures = computed(tmp_path / "a", config(policy))
    assert failures == {"disk: checksum": 1}
    fill(tmp_path / "b")
    flip(largest(tmp_path / "b"))
    whole, _ = computed(tmp_path / "b", config(policy), layerwise=False)
    assert torch.equal(lost.state.logits, whole.state.logits)
    assert lost.plan.reasons == whole.plan.reasons
    assert lost.loaded_bytes == whole.loaded_bytes
    with ChunkStore(ENGINE.space.key, tmp_path / "a") as store:
        assert store.stats().variants == 3, "it is forgotten"


def test_what_is_late_is_not_forgotten(tmp_path, monkeypatch):
    fill(tmp_path)
    hold = threading.Event()
    when_read(monkeypatch, largest(tmp_path).stat().st_size - PAGE, lambda: hold.wait(30))
    done, failures = computed(tmp_path, config("epic"), patience=0.3)
    hold.set()
    assert NOT_LOADED in dict(done.plan.reasons).values()
    assert failures["disk: time-out"] >= 1
    again, _ = computed(tmp_path, config("epic"))
    assert not again.plan.reasons
