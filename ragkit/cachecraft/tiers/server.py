"""The few commands of a Valkey or Redis server that blobs need, through the `valkey` client library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ragkit.cachecraft.tiers.guard import RefusedError
from ragkit.errors import MissingExtraError, UsageError

_KEYS = 1000
"""Keys that one step of a sweep looks at: few enough for the server to stay responsive to others."""


class Server:
    """Connections to the server at `url`; none is made before the first command.

    Raises MissingExtraError where `valkey` is not installed, UsageError for a wrong address. Commands raise OSError
    where the server is lost, RefusedError where it refuses (out of memory, a wrong password, a read-only replica).
    """

    def __init__(self, url: str, *, seconds: float, connections: int) -> None:
        try:
            from valkey import Valkey, exceptions
            from valkey.backoff import NoBackoff
            from valkey.retry import Retry
        except ImportError as error:
            raise MissingExtraError(
                "A remote cache was asked for, but the package valkey is not installed.",
                hint="pip install 'ragkit[remote-cache]'",
            ) from error
        self._errors: Any = exceptions
        try:
            self._client: Any = Valkey.from_url(
                url,
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                socket_keepalive=True,
                retry=Retry(NoBackoff(), 0),
                max_connections=connections,
            )
        except ValueError as error:
            shown = url.rpartition("@")[2]  # without a password
            raise UsageError(
                f"The remote cache {shown!r} was given: {error}.", hint="Expected valkey://HOST:PORT/NUMBER."
            ) from error

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
        try:
            yield
        except (self._errors.AuthenticationError, self._errors.ResponseError) as error:
            raise RefusedError(str(error)) from error
        except self._errors.TimeoutError as error:
            raise TimeoutError(str(error)) from error
        except self._errors.ValkeyError as error:
            raise ConnectionError(str(error)) from error

    def ping(self) -> None:
        """Return where the server answers."""
        with self._errors_translated():
            self._client.ping()

    def get(self, key: str) -> bytes | None:
        """Return a value."""
        with self._errors_translated():
            return self._bytes(self._client.get(key))

    @staticmethod
    def _bytes(value: object) -> bytes | None:
        return value if isinstance(value, bytes) else None

    def set(self, key: str, value: bytes | memoryview, ttl: int | None) -> None:
        """Keep a value, for `ttl` seconds if given."""
        with self._errors_translated():
            self._client.set(key, value, ex=ttl)

    def exist(self, keys: Sequence[str]) -> list[bool]:
        """Return which keys are there."""
        with self._errors_translated():
            pipe = self._client.pipeline(transaction=False)
            for key in keys:
                pipe.exists(key)
            return [bool(one) for one in pipe.execute()]

    def sizes(self, table: str) -> dict[str, int]:
        """Return the sizes in the hash `table`, by name."""
        with self._errors_translated():
            return {name.decode(): int(size) for name, size in self._client.hgetall(table).items()}

    def sizes_of(self, table: str, names: Sequence[str]) -> list[int]:
        """Return some sizes in the hash `table`, 0 for what is not there."""
        with self._errors_translated():
            return [int(size or 0) for size in self._client.hmget(table, list(names))]

    def commit(self, key: str, value: bytes, *, ttl: int | None, table: str, name: str, size: int) -> None:
        """Keep a value and note a size in the hash `table`, both or neither."""
        with self._errors_translated():
            pipe = self._client.pipeline(transaction=True)
            pipe.set(key, value, ex=ttl)
            pipe.hset(table, name, str(size))
            pipe.execute()

    def remove(self, keys: Sequence[str], table: str, names: Sequence[str]) -> None:
        """Remove values and sizes, all or none."""
        with self._errors_translated():
            pipe = self._client.pipeline(transaction=True)
            pipe.unlink(*keys)
            pipe.hdel(table, *names)
            pipe.execute()

    def sweep(self, pattern: str, cursor: int) -> int:
        """Remove some of the keys that `pattern` matches and return where to go on, 0 at the end."""
        with self._errors_translated():
            cursor, keys = self._client.scan(cursor, match=pattern, count=_KEYS)
            if keys:
                self._client.unlink(*keys)
            return int(cursor)

    def drop(self, key: str) -> bool:
        """Remove one value; return True."""
        with self._errors_translated():
            self._client.unlink(key)
            return True

    def disconnect(self) -> None:
        """Close all connections; threads that wait for one get a ConnectionError, later commands connect anew."""
        self._client.connection_pool.disconnect()
