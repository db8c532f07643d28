"""The one exception tree of ragkit.

    RagkitError
    ├── UsageError               the call was wrong; exit status 2
    │   ├── ConfigError          a configuration names an unknown key or holds a bad value
    │   ├── FilterError          a --where expression does not parse
    │   ├── UnknownPartError     no chunker, retriever, ... of that name
    │   ├── MissingExtraError    the part needs an optional dependency that is not installed
    │   └── UnsupportedError     the model or part lacks the ability that is asked of it
    ├── LoadError                a source cannot be read as a document
    ├── ContractError            a part broke the span contract or another one
    ├── IndexStateError          anything wrong with an index on disk
    │   ├── MissingIndexError    there is no index in that folder
    │   ├── IndexMismatchError   the index was built with another embedder, chunker or format
    │   ├── IndexLockedError     another process is writing
    │   ├── CorruptIndexError    a checksum or a count does not hold
    │   └── StorageError         the disk is full or not writable
    ├── ModelError               a model cannot be found, loaded or run
    │   ├── ServerError          a model server refuses, fails or times out
    │   └── SchemaError          a reply does not fit the schema that was asked for
    └── BudgetExceededError      a stage would spend more than its Budget

Every message says what was given and what was expected; `hint` says what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

__all__ = [
    "BudgetExceededError",
    "ConfigError",
    "ContractError",
    "CorruptIndexError",
    "FilterError",
    "IndexLockedError",
    "IndexMismatchError",
    "IndexStateError",
    "LoadError",
    "MissingExtraError",
    "MissingIndexError",
    "ModelError",
    "RagkitError",
    "RagkitWarning",
    "SchemaError",
    "ServerError",
    "StorageError",
    "UnknownPartError",
    "UnsupportedError",
    "UsageError",
]


class RagkitError(Exception):
    """Root of the tree: `message` says what happened, `hint` what to do next."""

    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class UsageError(RagkitError):
    """The call was wrong: nothing was attempted."""

    exit_status = 2


class ConfigError(UsageError):
    """A configuration names an unknown key or holds a bad value."""


class FilterError(UsageError):
    """A `--where` expression does not parse."""


class UnknownPartError(UsageError):
    """No part of that name is built in or offered by an installed package."""


class MissingExtraError(UsageError):
    """The part needs an optional dependency that is not installed."""


class UnsupportedError(UsageError):
    """The model or part lacks the ability that is asked of it."""


class LoadError(RagkitError):
    """A source cannot be read as a document."""


class ContractError(RagkitError):
    """A part broke a contract, for instance the span contract."""


class IndexStateError(RagkitError):
    """Anything wrong with an index on disk."""


class MissingIndexError(IndexStateError):
    """There is no index in that folder."""

    exit_status = 2


class IndexMismatchError(IndexStateError):
    """The index was built with another embedder, chunker or format version."""

    exit_status = 2


class IndexLockedError(IndexStateError):
    """Another process is writing this index."""


class CorruptIndexError(IndexStateError):
    """A checksum or a count of the index does not hold."""


class StorageError(IndexStateError):
    """The disk is full, or the folder is not writable."""


class ModelError(RagkitError):
    """A model cannot be found, loaded or run."""


class ServerError(ModelError):
    """A model server refuses, fails or times out.

    `fails` says what does: "request" (others may succeed), "server" (every further request would meet it too: nobody
    there, a wrong key, no such model) or "protocol" (it replied, but not as such a server does).
    """

    def __init__(
        self, message: str, *, hint: str = "", fails: Literal["request", "server", "protocol"] = "request"
    ) -> None:
        super().__init__(message, hint=hint)
        self.fails = fails


class SchemaError(ModelError):
    """A reply does not fit the schema that was asked for; `reply` is what the model said.

    A bulk call may tell more: `failed` holds place and error of every prompt whose reply does not fit, and all others
    were answered. It is empty where that is not known.
    """

    def __init__(
        self, message: str, *, hint: str = "", reply: str = "", failed: Mapping[int, SchemaError] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.reply = reply
        self.failed = dict(failed or {})

    @classmethod
    def of(cls, failed: Mapping[int, SchemaError]) -> SchemaError:
        """Return the error of a bulk call in which the replies to `failed`, at least one, do not fit."""
        first = failed[min(failed)]
        return cls(first.message, hint=first.hint, reply=first.reply, failed=failed)


class BudgetExceededError(RagkitError):
    """A stage would spend more than its `Budget` allows."""


class RagkitWarning(UserWarning):
    """Something was done that the user may not expect, for instance a text was cut off; the result is still valid."""
