"""The files below some folders, in a fixed order, without what the ignore rules exclude.

Rules: hidden files and folders, `node_modules`, `__pycache__` and the like are left out; so is what `.gitignore` and
`.ragkitignore` files below the roots and `LoadingConfig.ignore` match (gitignore syntax, the deepest file decides).
Links to folders are not followed; a link to a file stands for that file. What is no document by its name (pictures,
archives, programs) is counted as skipped. A root that is a file is always taken.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pathspec import GitIgnoreSpec

from ragkit.config import LoadingConfig
from ragkit.errors import ConfigError, UsageError
from ragkit.loaders.failure import Failure
from ragkit.loaders.kinds import is_skipped

_IGNORE_FILES = (".gitignore", ".ragkitignore")
_MAX_IGNORE_BYTES = 2**20
_NEVER = frozenset(("node_modules", "__pycache__", "venv", "site-packages", "CVS", "$RECYCLE.BIN"))


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read: its resolved path, its size in bytes and its time of change."""

    path: Path
    size: int
    mtime_ns: int


class _Rules(NamedTuple):
    """The patterns of one folder; `skip` is the length of its path with the separator."""

    spec: GitIgnoreSpec
    skip: int


@dataclass(slots=True)
class Walked:
    """The result of a walk: iterate `files` first; `skipped` and `failed` are complete when it ends."""

    files: Iterator[SourceFile] = field(default_factory=lambda: iter(()))
    skipped: int = 0
    """Files met inside folders that are no documents by their name or rule, ignored folders not counted."""
    failed: list[Failure] = field(default_factory=list)
    """Folders that could not be listed, files that could not be examined, names that are not valid UTF-8."""


def walk(roots: Sequence[Path | str], caps: LoadingConfig, *, exclude: Path | None = None) -> Walked:
    """Return the files below `roots`, each once, sorted by root and path; nothing inside `exclude` (the index).

    Raises UsageError naming a root that does not exist, ConfigError for a pattern that is none.
    """
    resolved: list[Path] = []
    for root in roots:
        try:
            resolved.append(Path(root).resolve(strict=True))
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"{root}: {reason}.", hint="Give files or folders that exist.") from None
    walked = Walked()
    walker = _Walker(walked, _spec(caps.ignore), str(exclude.resolve()) if exclude is not None else None)
    walked.files = walker.files(resolved)
    return walked


def _spec(patterns: Sequence[str]) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise ConfigError(f"loading.ignore: {error}.", hint="Use .gitignore syntax.") from None


class _Walker:
    def __init__(self, walked: Walked, given: GitIgnoreSpec, exclude: str | None) -> None:
        self._walked = walked
        self._given = given
        self._exclude = exclude
        self._seen: set[str] = set()

    def files(self, roots: Sequence[Path]) -> Iterator[SourceFile]:
        for root in roots:
            if root.is_dir():
                yield from self._below(str(root))
            else:
                yield from self._found(str(root), None)

    def _below(self, root: str) -> Iterator[SourceFile]:
        """Yield the files of a folder, then those of its folders; the stack is our own, so no depth is too deep."""
        base = (_Rules(self._given, len(root.rstrip(os.sep)) + 1),)
        stack: list[tuple[str, tuple[_Rules, ...]]] = [(root, base)]
        while stack:
            folder, inherited = stack.pop()
            if folder == self._exclude:
                continue
            try:
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                self._fail(folder, f"the folder cannot be listed: {error.strerror}")
                continue
            rules = inherited + tuple(self._rules_in(folder, entries))
            folders: list[tuple[str, tuple[_Rules, ...]]] = []
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if not self._ignored(entry.name, entry.path + "/", rules):
                        folders.append((entry.path, rules))
                elif self._is_document(entry, rules):
                    yield from self._found(entry.path, entry)
            stack.extend(reversed(folders))

    def _is_document(self, entry: os.DirEntry[str], rules: tuple[_Rules, ...]) -> bool:
        """Return whether to read a file; one that is left out is counted, a broken link or one to a folder too."""
        try:
            link_elsewhere = entry.is_symlink() and not entry.is_file()
            if not (
                link_elsewhere
                or self._ignored(entry.name, entry.path, rules)
                or is_skipped(entry.name, entry.stat().st_size)
            ):
                return True
        except OSError as error:
            self._fail(entry.path, f"cannot be examined: {error.strerror}")
            return False
        self._walked.skipped += 1
        return False

    def _found(self, path: str, entry: os.DirEntry[str] | None) -> Iterator[SourceFile]:
        try:
            path.encode("utf-8")
            target = os.path.realpath(path) if entry is not None and entry.is_symlink() else path
            status = entry.stat() if entry is not None else os.stat(path)  # noqa: PTH116 - no Path is needed
        except UnicodeEncodeError:
            self._fail(path, "the file name is not valid UTF-8")
            return
        except OSError as error:
            self._fail(path, f"cannot be examined: {error.strerror}")
            return
        if entry is not None and not stat.S_ISREG(status.st_mode):
            self._walked.skipped += 1
        elif target not in self._seen:
            self._seen.add(target)
            yield SourceFile(Path(target), status.st_size, status.st_mtime_ns)

    def _rules_in(self, folder: str, entries: Sequence[os.DirEntry[str]]) -> Iterator[_Rules]:
        for entry in entries:
            if entry.name not in _IGNORE_FILES or not entry.is_file():
                continue
            try:
                with open(entry.path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - no Path is needed
                    lines = file.read(_MAX_IGNORE_BYTES).splitlines()
                yield _Rules(GitIgnoreSpec.from_lines(lines), len(folder.rstrip(os.sep)) + 1)
            except (OSError, ValueError) as error:
                self._fail(entry.path, f"its ignore patterns are not used: {error}")

    def _ignored(self, name: str, path: str, rules: tuple[_Rules, ...]) -> bool:
        """Return whether a rule excludes `path`, which ends with "/" for a folder."""
        if name.startswith(".") or name in _NEVER:
            return True
        for spec, skip in reversed(rules):
            if spec.patterns:
                decided = spec.check_file(path[skip:]).include
                if decided is not None:
                    return decided
        return False

    def _fail(self, path: str, reason: str) -> None:
        shown = path.encode("utf-8", "backslashreplace").decode("utf-8")
        self._walked.failed.append(Failure(shown, reason))
