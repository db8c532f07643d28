"""Blobs in a Valkey or Redis server; a server that dies, hangs or trickles is a miss.

    PREFIX:{SCOPE}            hash: name -> bytes, what was put
    PREFIX:{SCOPE}:NAME:head  the header page, written last: without it there is no blob
    PREFIX:{SCOPE}:NAME:0 ..  the blob in parts below the server's limit of 512 MB

What the server returns is checked against damage, not against someone who can write to it: outside a trusted network
use TLS (`valkeys://`) and a password.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from ragkit.cachecraft.tiers.breaker import Breaker
from ragkit.cachecraft.tiers.buffers import frozen, pages
from ragkit.cachecraft.tiers.codec import BrokenBlobError, check_body, check_owner, fits, header_of, pack, unpack
from ragkit.cachecraft.tiers.guard import Guard, RefusedError
from ragkit.cachecraft.tiers.server import Server
from ragkit.cachecraft.tiers.tier import Blob
from ragkit.errors import UsageError

_LARGEST_PART = 512_000_000


class RemoteTier:
    """A BlobTier in the server at `url`, e.g. `valkey://host:6379/0`; nothing is connected before the first use.

    A call takes at most `seconds` (for `put`: each blob): what has not come by then is left out, its connection is
    closed, and the tier is off until a probe in the background is answered. `capacity` bounds what is put under this
    prefix and scope; a full share keeps nothing more. `ttl_seconds`, if given, makes blobs expire.
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
        self._part, self._ttl = part_bytes, ttl_seconds
        self._server = Server(url, seconds=seconds, connections=2 * connections + 2)
        self._guard = Guard(
            seconds, connections, ping=self._server.ping, abandon=self._server.disconnect, breaker=breaker
        )
        self._used = 0

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

    def get(self, names: Sequence[str]) -> list[Blob | None]:
        """Return each blob that came whole and in time, or None."""
        return self._guard.call([partial(self._fetch, name) for name in names])

    def _fetch(self, name: str) -> Blob | None:
        page = self._server.get(self._key(name, "head"))
        if page is None:
            return None
        try:
            header = unpack(page)
            check_owner(header, self._scope, name)
            if header.length > self.capacity:
                raise BrokenBlobError("too large")
            blob = self._body(name, header.length)
            check_body(header, blob)
        except BrokenBlobError as error:
            self._guard.counts.add(str(error))
            self._erase(name)
            return None
        return frozen(blob)

    def _body(self, name: str, length: int) -> Blob:
        blob, got, number = pages(length), 0, 0
        while got < length:
            part = self._server.get(self._key(name, number))
            if not part or got + len(part) > length:
                raise BrokenBlobError("truncated")
            blob[got : got + len(part)] = np.frombuffer(part, np.uint8)
            got, number = got + len(part), number + 1
        return blob

    def put(self, blobs: Mapping[str, Blob]) -> set[str]:
        """Keep blobs and return the names of those that the server has confirmed."""
        tasks: dict[str, Callable[[], bool]] = {
            name: partial(self._store, name, np.ascontiguousarray(blob)) for name, blob in blobs.items()
        }
        return {name for name, task in tasks.items() if self._guard.call([task])[0]}

    def _store(self, name: str, blob: Blob) -> bool:
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
        self._erase(name)
        starts = range(0, blob.nbytes, self._part)
        try:
            for number, start in enumerate(starts):
                self._server.set(self._key(name, number), blob[start : start + self._part].data, self._ttl)
            head = pack(header_of(self._scope, name, blob))
            self._server.commit(
                self._key(name, "head"), head, ttl=self._ttl, table=self._root, name=name, size=blob.nbytes
            )
        except RefusedError:  # the server is out of memory: the parts must not stay behind
            self._erase(name, parts=len(starts))
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
        for name, present in zip(names, there, strict=True):
            if not present:
                self._erase(name)

    def delete(self, names: Sequence[str]) -> None:
        """Forget blobs, in the background: nobody waits for it."""
        for name in names:
            self._guard.later(partial(self._erase, name))

    def _erase(self, name: str, parts: int = 0) -> None:
        """Remove a blob, its header and its parts at once."""
        count = max(parts, -(-self._server.size(self._root, name) // self._part))
        keys = [self._key(name, "head"), *(self._key(name, number) for number in range(count))]
        self._server.remove(keys, self._root, name)

    def names(self) -> list[str]:
        """Return the names of all blobs under this prefix and scope; none where the server is off."""
        return list(self._guard.call([partial(self._server.sizes, self._root)])[0] or {})

    def close(self) -> None:
        """Close the connections; work under way ends with them."""
        self._guard.close()

    def _key(self, name: str, part: str | int) -> str:
        return f"{self._root}:{name}:{part}"
