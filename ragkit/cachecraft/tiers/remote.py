"""Blobs in a Valkey or Redis server; a server that dies, hangs or trickles is a miss.

    PREFIX:{SCOPE}            hash: name -> bytes, what was put
    PREFIX:{SCOPE}:NAME:head  the header page, written last: without it there is no blob
    PREFIX:{SCOPE}:NAME:0 ..  the blob in parts below the server's limit of 512 MB

What the server returns is checked against damage, not against someone who can write to it: outside a trusted network
use TLS (`valkeys://`) and a password.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice

import numpy as np

from ragkit.cachecraft.tiers.arriving import SLOWEST
from ragkit.cachecraft.tiers.breaker import Breaker
from ragkit.cachecraft.tiers.buffers import frozen, pages
from ragkit.cachecraft.tiers.codec import (
    BrokenBlobError,
    Header,
    check_body,
    check_owner,
    fits,
    header_of,
    pack,
    unpack,
)
from ragkit.cachecraft.tiers.guard import Guard, RefusedError
from ragkit.cachecraft.tiers.server import Server
from ragkit.cachecraft.tiers.tier import Blob
from ragkit.errors import UsageError

_LARGEST_PART = 512_000_000
_AT_ONCE = 256
"""Blobs removed in one exchange with the server."""


class RemoteTier:
    """A BlobTier in the server at `url`, e.g. `valkey://host:6379/0`; nothing is connected before the first use.

    A call takes at most `seconds` and what its bytes take at `rate` bytes a second (for `put`: each blob): what has
    not come by then is left out, its connection is closed, and the tier is off until a probe in the background is
    answered. `capacity` bounds what is put under this prefix and scope; a full share keeps nothing more. `ttl_seconds`,
    if given, makes blobs expire. What is deleted while the server is off is removed when it is on again, or left behind
    and counted when the tier is closed before.
    """

    name = "remote"

    def __init__(
        self,
        url: str,
        capacity: int,
        *,
        scope: str = "",
        prefix: str = "ragkit:kv",
        seconds: float = 1.0,
        rate: float = SLOWEST,
        part_bytes: int = 32 << 20,
        ttl_seconds: int | None = None,
        connections: int = 4,
        breaker: Breaker | None = None,
    ) -> None:
        """Raises UsageError for parts the server would refuse, MissingExtraError where `valkey` is not installed."""
        if not 0 < part_bytes <= _LARGEST_PART:
            raise UsageError(
                f"Parts of {part_bytes:,} bytes were asked for; the server takes values of at most {_LARGEST_PART:,}.",
                hint="Choose part_bytes below that.",
            )
        self.capacity = capacity
        self._scope, self._root = scope, f"{prefix}:{{{scope}}}"
        self._part, self._ttl, self._rate = part_bytes, ttl_seconds, rate
        self._server = Server(url, seconds=seconds, connections=2 * connections + 2)
        self._guard = Guard(
            seconds, connections, ping=self._server.ping, abandon=self._server.disconnect, breaker=breaker
        )
        self._used = 0
        self._absent: set[str] = set()
        """Blobs that are known not to be there: the server said so, or did not confirm them."""
        self._doomed: dict[str, None] = {}
        """Blobs that are still to be removed, in order."""
        self._lock = threading.Lock()
        self._removing = threading.Lock()
        """Held while blobs are removed, so that one put meanwhile is not."""

    @property
    def on(self) -> bool:
        """Whether the server is asked; not for a while after it has failed."""
        return self._guard.on

    @property
    def used(self) -> int:
        """Bytes under this prefix and scope as last heard from the server."""
        return self._used

    @property
    def failures(self) -> Mapping[str, int]:
        """How often what went wrong: "time-out", "connection", "refused", "off", "full", "checksum", ..."""
        return self._guard.counts.snapshot()

    def exists(self, names: Sequence[str]) -> list[bool]:
        """Return which blobs have a header; False for all where the server is off."""
        heads = [self._key(name, "head") for name in names]
        found = self._guard.call([partial(self._server.exist, heads)])[0] if heads else []
        return found or [False] * len(names)

    def may_have(self, names: Sequence[str]) -> list[bool]:
        """Return which blobs the server has not said it lacks: it may not have been asked, or not have answered."""
        with self._lock:
            return [name not in self._absent for name in names]

    def get(self, names: Sequence[str]) -> list[Blob | None]:
        """Return each blob that came whole and in time, or None; the headers come first, as they say how much comes."""
        found = self._guard.call([partial(self._header, name) for name in names])
        headers = {name: header for name, header in zip(names, found, strict=True) if header is not None}
        if not headers:
            return [None] * len(names)
        places = [at for at, name in enumerate(names) if name in headers]
        tasks = [partial(self._body, headers[names[at]]) for at in places]
        size = sum(headers[names[at]].length for at in places)
        bodies = dict(zip(places, self._guard.call(tasks, size / self._rate), strict=True))
        return [bodies.get(at) for at in range(len(names))]

    def _header(self, name: str) -> Header | None:
        page = self._server.get(self._key(name, "head"))
        try:
            if page is None:
                raise BrokenBlobError("")
            header = unpack(page)
            check_owner(header, self._scope, name)
            if header.length > self.capacity:
                raise BrokenBlobError("too large")
        except BrokenBlobError as error:
            self._lacks(name, str(error))
            return None
        self._has(name)
        return header

    def _body(self, header: Header) -> Blob | None:
        try:
            blob = self._parts(header.name, header.length)
            check_body(header, blob)
        except BrokenBlobError as error:
            self._lacks(header.name, str(error))
            return None
        return frozen(blob)

    def _parts(self, name: str, length: int) -> Blob:
        blob, got, number = pages(length), 0, 0
        while got < length:
            part = self._server.get(self._key(name, number))
            if not part or got + len(part) > length:
                raise BrokenBlobError("truncated")
            blob[got : got + len(part)] = np.frombuffer(part, np.uint8)
            got, number = got + len(part), number + 1
        return blob

    def _has(self, name: str) -> None:
        with self._lock:
            self._absent.discard(name)

    def _lacks(self, name: str, reason: str = "") -> None:
        """Note that a blob is not there whole. Its owner deletes it; a reader must not, as the writer may be at it."""
        with self._lock:
            self._absent.add(name)
        if reason:
            self._guard.counts.add(reason)

    def put(self, blobs: Mapping[str, Blob]) -> set[str]:
        """Keep blobs and return the names of those that the server has confirmed."""
        kept = set()
        for name, blob in blobs.items():
            self._lacks(name)  # until it is confirmed
            task: Callable[[], bool] = partial(self._store, name, np.ascontiguousarray(blob))
            if self._guard.call([task], blob.nbytes / self._rate)[0]:
                self._has(name)
                kept.add(name)
        return kept

    def _store(self, name: str, blob: Blob) -> bool:
        with self._removing, self._lock:
            self._doomed.pop(name, None)
        if not fits(self._scope, name):
            self._guard.counts.add("name too long")
            return False
        self._used = self._held(name)
        if self._used + blob.nbytes > self.capacity:
            self._forget_expired()
            self._used = self._held(name)
        if self._used + blob.nbytes > self.capacity:
            self._guard.counts.add("full")
            return False
        self._erase([name])
        starts = range(0, blob.nbytes, self._part)
        try:
            for number, start in enumerate(starts):
                self._server.set(self._key(name, number), blob[start : start + self._part].data, self._ttl)
            head = pack(header_of(self._scope, name, blob))
            self._server.commit(
                self._key(name, "head"), head, ttl=self._ttl, table=self._root, name=name, size=blob.nbytes
            )
        except RefusedError:  # the server is out of memory: the parts must not stay behind
            self._erase([name], least=len(starts))
            raise
        self._used += blob.nbytes
        return True

    def _held(self, name: str) -> int:
        """Return the bytes of all blobs but `name`."""
        sizes = self._server.sizes(self._root)
        return sum(sizes.values()) - sizes.get(name, 0)

    def _forget_expired(self) -> None:
        """Remove from the hash what the server has let go of."""
        names = list(self._server.sizes(self._root))
        there = self._server.exist([self._key(name, "head") for name in names])
        if gone := [name for name, present in zip(names, there, strict=True) if not present]:
            self._erase(gone)

    def delete(self, names: Sequence[str]) -> None:
        """Forget blobs, in the background; `close` waits for it."""
        with self._lock:
            self._doomed |= dict.fromkeys(names)
            self._absent.difference_update(names)
        if names:
            self._guard.later(self._remove_doomed)

    def _remove_doomed(self) -> bool:
        """Remove some of what was deleted and return whether nothing is left; it stays on the list where that fails."""
        with self._removing:
            with self._lock:
                names = list(islice(self._doomed, _AT_ONCE))
            if names:
                self._erase(names)
            with self._lock:
                for name in names:
                    self._doomed.pop(name, None)
                return not self._doomed

    def _erase(self, names: Sequence[str], least: int = 1) -> None:
        """Remove blobs, their headers and their parts (at least so many) at once."""
        sizes = self._server.sizes_of(self._root, names)
        keys = [self._key(name, "head") for name in names]
        keys += [
            self._key(name, number)
            for name, size in zip(names, sizes, strict=True)
            for number in range(max(least, -(-size // self._part)))
        ]
        self._server.remove(keys, self._root, names)

    def names(self) -> list[str]:
        """Return the names of all blobs under this prefix and scope; none where the server is off."""
        sizes = self._guard.call([partial(self._server.sizes, self._root)])[0]
        if sizes is not None:
            self._used = sum(sizes.values())
        return list(sizes or {})

    def clear(self) -> bool:
        """Remove all there is under this prefix and scope, whoever put it; return False where the server fails.

        Parts of blobs that were never whole go too. Each step of many takes at most `seconds`.
        """
        pattern = re.sub(r"([\[\]*?\\^-])", r"\\\1", f"{self._root}:") + "*"
        place: int | None = None
        while place != 0:
            place = self._guard.call([partial(self._server.sweep, pattern, place or 0)])[0]
            if place is None:
                return False
        with self._lock:
            self._doomed.clear()
            self._absent.clear()
        return bool(self._guard.call([partial(self._server.drop, self._root)])[0])

    def close(self) -> None:
        """Remove what was deleted, as far as the server answers, and close the connections."""
        while self._doomed and self._guard.on:
            if self._guard.call([self._remove_doomed])[0] is None:
                break
        self._guard.counts.add("left behind", len(self._doomed))
        self._guard.close()

    def _key(self, name: str, part: str | int) -> str:
        return f"{self._root}:{name}:{part}"
