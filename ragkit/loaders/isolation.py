"""Parsing in a child process with limits on time and memory, so that a hostile file costs an error and nothing else.

One process serves a whole run: starting one takes a fifth of a second, handing it a small file about a millisecond.
It is started as a fresh interpreter, never forked, because a fork of a process with threads (torch's) may hang. After a
time-out or a crash the next file gets a new one.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ragkit.config import LoadingConfig
from ragkit.errors import ContractError, LoadError
from ragkit.loaders.files import refusal, source_of
from ragkit.loaders.wire import decoded
from ragkit.schema import Document

_HEADER_BYTES = 8
# JSON beside the text, and how many bytes one character may take in it.
_MARGIN_BYTES, _BYTES_PER_CHARACTER = 64 * 2**20, 6
_START_SECONDS = 60.0
_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from ragkit.loaders.parsing_process import main; main()"
)


class ParsingProcess:
    """A child that parses one file at a time; started when first needed, ended by `close()`."""

    def __init__(self, caps: LoadingConfig) -> None:
        self._caps = caps
        self._process: subprocess.Popen[bytes] | None = None

    def load(self, name: str, path: Path) -> Iterator[Document]:
        """Yield the documents that the loader `name` reads from `path`, parsed in the child.

        Raises LoadError with the loader's reason, or saying that the limit of time or memory was reached or that the
        parser crashed.
        """
        process = self._started(path)
        source = source_of(path)
        left = self._caps.max_seconds
        finished = False
        try:
            _send(process, json.dumps({"loader": name, "path": str(path)}))
            while True:
                # Only the child's time counts, not the time that the consumer takes between documents.
                begun = time.monotonic()
                reply = self._reply(process, path, left)
                left -= time.monotonic() - begun
                if "text" not in reply:
                    finished = "memory" not in reply
                    break
                yield _document(reply, path, source)
        finally:
            if not finished:
                self.close()
        if "end" not in reply:
            raise self._failure(reply, path)

    def close(self) -> None:
        """End the child, if there is one."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]  # both are pipes, see _started

    def _started(self, path: Path) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            # Our own interpreter on a constant program: nothing in the call comes from a source.
            self._process = subprocess.Popen(  # noqa: S603 - see above
                [sys.executable, "-c", _CHILD, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            _send(self._process, self._caps.model_dump_json())
            self._reply(self._process, path, _START_SECONDS)
        return self._process

    def _reply(self, process: subprocess.Popen[bytes], path: Path, seconds: float) -> dict[str, Any]:
        """Return the next reply; raise LoadError after `seconds`, or if the child dies or sends too much."""
        timed_out = threading.Event()

        def give_up() -> None:
            timed_out.set()
            process.kill()

        timer = threading.Timer(max(seconds, 0.0), give_up)
        timer.daemon = True
        timer.start()
        try:
            payload = _frame(process, self._caps, path)
        finally:
            timer.cancel()
        if payload is not None:
            reply: dict[str, Any] = json.loads(payload)
            return reply
        if timed_out.is_set():
            raise refusal(
                path,
                f"parsing it took more than the {self._caps.max_seconds:g} s allowed",
                hint="Raise loading.max_seconds if you trust it.",
            )
        status = process.wait()
        died = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        raise refusal(
            path,
            f"its parser crashed ({died}), perhaps at the memory limit of {self._caps.max_memory_bytes // 2**20:,} MiB",
            hint="Raise loading.max_memory_bytes if you trust it.",
        )

    def _failure(self, reply: dict[str, Any], path: Path) -> LoadError:
        if "memory" in reply:
            return refusal(
                path,
                f"parsing it needs more than the {self._caps.max_memory_bytes // 2**20:,} MiB of memory allowed",
                hint="Raise loading.max_memory_bytes if you trust it.",
            )
        message = str(reply.get("error", "its parser gave no reason"))
        return LoadError(message, hint=str(reply.get("hint", "")))


def _document(reply: dict[str, Any], path: Path, source: str) -> Document:
    try:
        return decoded(reply, source)
    except (KeyError, TypeError, ValueError, ContractError) as error:
        raise refusal(path, f"its parser gave a wrong reply ({error})") from None


def _send(process: subprocess.Popen[bytes], line: str) -> None:
    """Write one line; a child that has died shows when its reply is read."""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(line.encode("utf-8") + b"\n")  # type: ignore[union-attr]  # a pipe, see _started
        process.stdin.flush()  # type: ignore[union-attr]  # a pipe


def _frame(process: subprocess.Popen[bytes], caps: LoadingConfig, path: Path) -> bytes | None:
    """Return the payload of the next frame, or None if the child died; raise LoadError before reading too much."""
    replies: IO[bytes] = process.stdout  # type: ignore[assignment]  # a pipe, see _started
    header = replies.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return None
    length = int.from_bytes(header, "big")
    if length > caps.max_text_characters * _BYTES_PER_CHARACTER + _MARGIN_BYTES:
        raise refusal(path, f"its text has more than the {caps.max_text_characters:,} characters allowed")
    payload = replies.read(length)
    return payload if len(payload) == length else None
