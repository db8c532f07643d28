"""Chunks computed ahead, each behind the system prefix alone: exact whatever stands before them later is not.

This module imports torch; import it only to run a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragkit.cachecraft.core.choice import chunk_keys
from ragkit.cachecraft.core.keys import chunk_key
from ragkit.cachecraft.core.prompt import Ids, Kind, Piece
from ragkit.cachecraft.hf.device_cache import DeviceCache
from ragkit.cachecraft.hf.state import State
from ragkit.cachecraft.keeping import Keeper
from ragkit.cachecraft.session import Session
from ragkit.protocols import Progress

STAGE = "chunks"
_AT_ONCE = 8
"""Chunks in one call; after each the store is flushed, so that an interrupt loses no more than these."""


@dataclass(frozen=True, slots=True)
class Built:
    """What was done: chunks computed and kept, those that were there, those without room, and the bytes added."""

    built: int = 0
    present: int = 0
    left_out: int = 0
    bytes: int = 0


def build_chunks(
    session: Session,
    texts: Sequence[str],
    *,
    domain: str = "",
    limit: int | None = None,
    window: int,
    progress: Progress | None = None,
) -> Built:
    """Compute the chunks `texts` in generation 0 until the store is full or `limit` are there; return what was done.

    Those shown most lately come first, then the others as given. What is stored already is not computed again, so an
    interrupted build goes on where it was. A chunk that does not fit the window behind the prefix is left out, and so
    is what the disk does not keep; where it keeps nothing more, the rest is not computed.

    Raises IndexLockedError where another process writes the store, StorageError where it cannot be written.
    """
    prefix = session.pieces.prefix
    session.store.check_writer()
    wanted = _hottest(session, [session.pieces.chunk(text) for text in texts], domain)[:limit]
    token_bytes = session.backend.token_bytes
    builder = _Builder(session, prefix, domain)
    missing = [ids for key, ids in wanted if not builder.stored(key, ids)]
    fitting = [ids for ids in missing if len(prefix) + len(ids) < window]
    affordable = _within(fitting, session.store.room - len(prefix) * token_bytes, token_bytes)
    done: list[Ids] = []
    for part in _parts(affordable, _AT_ONCE):
        if sum(map(len, part)) * token_bytes > session.store.room:  # less by now: a remote store went away
            break
        builder.build(part)
        done += part
        if progress is not None:
            progress(STAGE, len(done), len(affordable))
        if not any(builder.lasting(part)):
            break
    built = [ids for ids, there in zip(done, builder.lasting(done), strict=True) if there]
    size = sum(map(len, built)) * token_bytes
    return Built(len(built), len(wanted) - len(missing), len(missing) - len(built), size)


@dataclass(frozen=True, slots=True)
class _Builder:
    session: Session
    prefix: Ids
    domain: str

    def stored(self, key: str, ids: Ids) -> str | None:
        """Return the name of an exact variant behind nothing but the prefix, None where there is none."""
        behind = chunk_key(self.session.backend.space.key, self.prefix, self.domain) if len(self.prefix) else ""
        names = (
            one.name
            for one in self.session.store.candidates(key)
            if one.prefix == behind and not one.history and not one.generation and np.array_equal(one.ids, ids)
        )
        return next(names, None)

    def build(self, chunks: Sequence[Ids]) -> None:
        """Compute chunks, and the prefix where it is not stored, and wait until the store has written them."""
        head = [Piece(Kind.PREFIX, self.prefix)] if len(self.prefix) else []
        backend, store = self.session.backend, self.session.store
        keeper = Keeper(backend, store, DeviceCache(0))
        states = backend.prefill_many([[*head, Piece(Kind.CHUNK, ids)] for ids in chunks])
        for state in states:
            keys = self._keys(state)
            if head and not store.candidates(keys[0]):
                keeper.save(state, keys, 0)
            keeper.save(state, keys, len(head), always=True)
        del states
        store.flush()

    def lasting(self, chunks: Sequence[Ids]) -> list[bool]:
        """Return which chunks a restart would find."""
        space = self.session.backend.space.key
        return self.session.store.lasting(
            [self.stored(chunk_key(space, ids, self.domain), ids) or "" for ids in chunks]
        )

    def _keys(self, state: State) -> Mapping[int, str]:
        return chunk_keys(state.plan.layout, self.session.backend.space.key, self.domain)


def _hottest(session: Session, chunks: Sequence[Ids], domain: str) -> list[tuple[str, Ids]]:
    """Return different chunks with their keys, those shown most lately first."""
    space, index = session.backend.space.key, session.store.index
    known = {chunk_key(space, ids, domain): ids for ids in reversed(chunks)}
    given = list(reversed(known.items()))
    return sorted(given, key=lambda one: -index.popularity(one[0]))


def _within(chunks: Sequence[Ids], room: int, token_bytes: int) -> list[Ids]:
    """Return the first chunks whose keys and values fit `room` bytes."""
    ends = np.cumsum([len(ids) * token_bytes for ids in chunks])
    return list(chunks[: int(np.searchsorted(ends, room, side="right"))])


def _parts(chunks: Sequence[Ids], size: int) -> Iterator[Sequence[Ids]]:
    return (chunks[at : at + size] for at in range(0, len(chunks), size))
