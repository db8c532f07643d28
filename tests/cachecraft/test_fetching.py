"""What is chosen and loaded for a prompt where the store has the metadata of a variant and not, for now, its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ragkit.cachecraft.core.choice import chunk_keys
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.fetching import NOT_LOADED, Fetched, Fetcher
from ragkit.cachecraft.hf.device_cache import DeviceCache
from ragkit.cachecraft.stopwatch import Stopwatch
from tests.cachecraft.core.making import ids, prompt, variant

LAYOUT = prompt(8, 6)
KEYS = chunk_keys(LAYOUT, "space", "")
BEST = variant(KEYS[0], ids(8, 0), name="best")
OTHER = variant(KEYS[0], ids(8, 0), ["elsewhere"], [0.5], lengths=[5], start=9, name="other")
SECOND = variant(KEYS[1], ids(6, 1), [KEYS[0]], [0.5], lengths=[8], start=8, name="second")


class Store:
    """Knows three variants whatever happens, and has the bytes of some."""

    def __init__(self, *there: str) -> None:
        self.there, self.asked = there, list[str]()

    def candidates(self, key: str) -> list:
        return [one for one in (BEST, OTHER, SECOND) if one.chunk == key]

    def load(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        self.asked += names
        return {name: np.zeros(8 if name != "second" else 6, np.uint8) for name in names if name in self.there}

    def recurs(self, *_: object) -> bool:
        return False


def fetch(store: Store) -> Fetched:
    backend = SimpleNamespace(token_bytes=1, tensor=lambda blob, _: torch.from_numpy(blob))
    fetcher = Fetcher(backend, store, DeviceCache(0), layerwise=False)  # type: ignore[arg-type]
    return fetcher.fetch(LAYOUT, KEYS, Repair(share=0.3), Stopwatch(), [])


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (("best", "second"), {0: "best", 1: "second"}),
        (("other", "second"), {0: "other", 1: "second"}),
        (("second",), {1: "second"}),
    ],
)
def test_where_one_cannot_be_loaded_the_next_serves_and_none_is_asked_for_twice(there, chosen):
    store = Store(*there)
    found = fetch(store)
    assert {at: one.variant.name for at, one in found.chosen.items()} == chosen
    assert found.reasons == dict.fromkeys({0, 1} - chosen.keys(), NOT_LOADED)
    assert len(store.asked) == len(set(store.asked))
