"""One door to all loaders: a path in, its documents out, and a failure with a reason for whatever cannot be read.

The loader is chosen by the ending of the file name, third-party loaders included (a built-in one goes first). A file
without a known ending is read as text if it looks like text. Loaders run in a child process (see `isolation.py`) unless
they declare `in_process = True`, as those do that cannot hang or crash.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from ragkit.config import LoadingConfig
from ragkit.errors import RagkitError
from ragkit.loaders.failure import Failure
from ragkit.loaders.files import checked_size, refusal, source_of
from ragkit.loaders.isolation import ParsingProcess
from ragkit.loaders.kinds import endings, refusal_reason
from ragkit.loaders.magic import format_of
from ragkit.plugins import create, names
from ragkit.schema import Document

_HEAD_BYTES = 4096


@runtime_checkable
class PartialLoader(Protocol):
    """A loader that can say which parts of a file it could not read."""

    def load_partly(self, path: Path) -> Iterator[Document | Failure]:
        """Yield the documents of `path`, and a failure for each part that is none."""
        ...


class _Named(NamedTuple):
    name: str
    loader: object


def read(path: Path, caps: LoadingConfig) -> Iterator[Document | Failure]:
    """Yield the documents of `path` as they are parsed, and a failure for every part that cannot be read.

    Nothing that a file holds makes it raise.

    >>> from ragkit.config import LoadingConfig
    >>> [failure.reason for failure in read(Path("no such file.txt"), LoadingConfig())]
    ['No such file or directory']
    """
    try:
        checked_size(path, caps)
        yield from _items(path, loader_for(path, caps), caps)
    except RagkitError as error:
        yield _failure(path, error)
    except Exception as error:
        yield Failure(source_of(path), f"it cannot be parsed ({type(error).__name__}: {str(error)[:200]})")


def loader_for(path: Path, caps: LoadingConfig) -> str:
    """Return the name of the loader for `path`; raise LoadError where its format is not read."""
    loaders = _loaders(caps)
    for ending in endings(path):
        if ending in loaders:
            return loaders[ending].name
    if (refused := refusal_reason(path)) is not None:
        raise refusal(path, refused[0], hint=refused[1])
    try:
        with path.open("rb") as file:
            found = format_of(file.read(_HEAD_BYTES))
    except OSError as error:
        raise refusal(path, f"cannot be opened: {error.strerror}", hint="Check its permissions.") from error
    if found is not None:
        raise refusal(
            path, f"it holds {found} data under a name without a known ending", hint="Rename it if it should be read."
        )
    return "text"


def _items(path: Path, name: str, caps: LoadingConfig) -> Iterator[Document | Failure]:
    loader = next(entry.loader for entry in _loaders(caps).values() if entry.name == name)
    if not getattr(loader, "in_process", False):
        yield from _isolated(path, name, caps)
    elif isinstance(loader, PartialLoader):
        yield from loader.load_partly(path)
    else:
        yield from loader.load(path)  # type: ignore[attr-defined]  # _loaders holds loaders only


@lru_cache(maxsize=4)
def _loaders_of(caps_json: str) -> dict[str, _Named]:
    """Return the loader of every file name ending; the first one to claim an ending has it."""
    caps = LoadingConfig.model_validate_json(caps_json)
    found: dict[str, _Named] = {}
    for name in names("loaders"):
        loader = create("loaders", name, {}, caps=caps)
        for suffix in loader.suffixes:
            found.setdefault(suffix, _Named(name, loader))
    return found


def _loaders(caps: LoadingConfig) -> dict[str, _Named]:
    return _loaders_of(caps.model_dump_json())


def _failure(path: Path, error: RagkitError) -> Failure:
    source = source_of(path)
    message = error.message.removeprefix(f"{source}: ")
    return Failure(source, f"{message} {error.hint}".strip().removesuffix("."))


class _Pool:
    """Idle parsing processes, kept so that a run starts one and not one for each file."""

    def __init__(self) -> None:
        self._idle: list[tuple[int, str, ParsingProcess]] = []

    def take(self, caps: LoadingConfig) -> ParsingProcess:
        """Return an idle process with these caps, or a new one; one that was started before a fork is not ours."""
        key = (os.getpid(), caps.model_dump_json())
        for entry in list(self._idle):
            if entry[:2] == key:
                self._idle.remove(entry)
                return entry[2]
        self.close()
        return ParsingProcess(caps)

    def give_back(self, caps: LoadingConfig, process: ParsingProcess) -> None:
        """Keep `process` for the next file."""
        self._idle.append((os.getpid(), caps.model_dump_json(), process))

    def close(self) -> None:
        """End the idle processes that this process started."""
        idle, self._idle = self._idle, []
        for owner, _, process in idle:
            if owner == os.getpid():
                process.close()


_POOL = _Pool()
atexit.register(_POOL.close)


def _isolated(path: Path, name: str, caps: LoadingConfig) -> Iterator[Document]:
    process = _POOL.take(caps)
    try:
        yield from process.load(name, path)
    finally:
        _POOL.give_back(caps, process)
