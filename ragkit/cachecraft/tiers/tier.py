"""What keeps blobs: opaque bytes by name, in batches; anything that goes wrong is a miss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Blob = NDArray[np.uint8]
"""The bytes of one variant's keys and values, shape (n,), contiguous."""


class BlobTier(Protocol):
    """A bounded store of blobs. Safe to share between threads.

    Nothing here raises for a full disk, a lost connection, a time-out, a truncated or altered blob: `put` says what was
    kept, `get` leaves out what is not there whole. `failures` counts what went wrong, by reason.
    """

    name: str
    capacity: int
    """Bytes it may hold."""

    @property
    def on(self) -> bool:
        """Whether it answers, as far as is known."""
        ...

    @property
    def used(self) -> int:
        """Bytes it holds."""
        ...

    @property
    def failures(self) -> Mapping[str, int]:
        """How often what went wrong."""
        ...

    def exists(self, names: Sequence[str]) -> list[bool]:
        """Return which blobs are there; `get` may still miss one."""
        ...

    def get(self, names: Sequence[str]) -> list[Blob | None]:
        """Return each blob, proven whole by its checksum, or None; the arrays must not be written to."""
        ...

    def may_have(self, names: Sequence[str]) -> list[bool]:
        """Return which blobs may be there, whatever the last `get` brought: none where it is known that they are not.

        Asks nobody. A blob that could not be read for now, or did not come in time, may be there.
        """
        ...

    def put(self, blobs: Mapping[str, Blob]) -> set[str]:
        """Keep blobs and return the names of those kept; never more bytes than `capacity`."""
        ...

    def delete(self, names: Sequence[str]) -> None:
        """Forget blobs."""
        ...

    def names(self) -> list[str]:
        """Return the names of all blobs."""
        ...

    def clear(self) -> bool:
        """Remove all blobs and wait for it; return False where some could not be removed."""
        ...

    def close(self) -> None:
        """Release threads, files and connections."""
        ...
