"""The child process that parses untrusted formats: requests on standard input, documents as framed JSON on a pipe.

It must stay light: no torch, no numpy. It limits its own memory; the parent watches the clock and kills it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, Any

from ragkit.config import LoadingConfig
from ragkit.errors import RagkitError
from ragkit.loaders.wire import encoded
from ragkit.plugins import create

HEADER_BYTES = 8
READY = b'{"ready": true}'
"""The first reply: from here on time counts for the files, not for the start."""


def main() -> None:
    """Serve requests `{"loader": name, "path": path}`, one per line after the line of caps, until input ends."""
    requests = sys.stdin.buffer
    # A parser that prints must not write into the replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    caps = LoadingConfig.model_validate_json(requests.readline())
    limit_memory(caps.max_memory_bytes)
    _send(replies, READY)
    loaders: dict[str, Any] = {}
    for line in requests:
        request = json.loads(line)
        serve(request["loader"], Path(request["path"]), caps, loaders, replies)


def serve(name: str, path: Path, caps: LoadingConfig, loaders: dict[str, Any], replies: IO[bytes]) -> None:
    """Send the documents of `path`, then `{"end": true}`, or `{"error": ...}` in its place."""
    try:
        if name not in loaders:
            loaders[name] = create("loaders", name, {}, caps=caps)
        for document in loaders[name].load(path):
            _send(replies, encoded(document))
        reply: dict[str, Any] = {"end": True}
    except RagkitError as error:
        reply = {"error": error.message, "hint": error.hint}
    except MemoryError:
        reply = {"memory": True}
    except Exception as error:
        reply = {"error": f"it cannot be parsed as {name} ({type(error).__name__}: {str(error)[:200]}).", "hint": ""}
    _send(replies, json.dumps(reply).encode("utf-8"))


def limit_memory(most: int) -> None:
    """Limit the address space of this process to `most` bytes, where the system can."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        # Windows has no such limit and macOS does not honour it: there, time and size caps must do.
        return


def _send(replies: IO[bytes], payload: bytes) -> None:
    replies.write(len(payload).to_bytes(HEADER_BYTES, "big"))
    replies.write(payload)
    replies.flush()
