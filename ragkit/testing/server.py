"""A model server that says what a test tells it to: real HTTP on the loopback interface, no model.

with FakeServer([status(429), reply("Paris.")]) as server:
    ServedLanguageModel(server.url).generate(...)
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True, slots=True)
class Scripted:
    """One answer of the server: after `delay` seconds, the first `share` of `body`, announced in full length."""

    body: bytes
    status: int = 200
    delay: float = 0.0
    share: float = 1.0
    headers: Mapping[str, str] = field(default_factory=dict)


def reply(text: str, *, tokens: int = 5, delay: float = 0.0) -> Scripted:
    """Return a chat completion that says `text`."""
    completion = {
        "id": "fake",
        "object": "chat.completion",
        "created": 0,
        "model": "fake",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens},
    }
    return Scripted(json.dumps(completion).encode(), delay=delay)


def status(code: int, message: str = "scripted failure", **headers: str) -> Scripted:
    """Return a refusal with the HTTP status `code`, without a pause before the next attempt."""
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    return Scripted(body, status=code, headers={"retry-after-ms": "1", **headers})


def truncated(text: str = "half of this is never sent") -> Scripted:
    """Return a reply that breaks off in the middle of its body."""
    return Scripted(reply(text).body, share=0.5)


def garbage(body: bytes = b"<html>not JSON</html>") -> Scripted:
    """Return a body that is no chat completion."""
    return Scripted(body)


class FakeServer:
    """Serves `script` to chat completions, one entry each and the last one for ever; lists `models`.

    `requests` holds the parsed body of each chat completion, in order.
    """

    def __init__(self, script: Sequence[Scripted] = (), models: Sequence[str] = ("fake",), **limits: int) -> None:
        self.requests: list[dict[str, Any]] = []
        self._script = list(script) or [reply("ok")]
        self._models = [{"id": name, "object": "model", "created": 0, "owned_by": "test", **limits} for name in models]
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _requests_for(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        """The address to give to a client."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> FakeServer:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_reply(self, request: dict[str, Any]) -> Scripted:
        """Return what the script says to `request`."""
        with self._lock:
            self.requests.append(request)
            return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def listing(self) -> Scripted:
        """Return the reply to GET /models."""
        return Scripted(json.dumps({"object": "list", "data": self._models}).encode())


def _requests_for(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(server.listing() if self.path == "/v1/models" else status(404))

        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(server.next_reply(content) if self.path == "/v1/chat/completions" else status(404))

        def _send(self, scripted: Scripted) -> None:
            time.sleep(scripted.delay)
            try:
                self.send_response(scripted.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(scripted.body)))
                for name, value in scripted.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(scripted.body[: int(len(scripted.body) * scripted.share)])
            except ConnectionError:  # the client has hung up, as a test of timeouts makes it do
                return
            self.close_connection = scripted.share < 1

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
            """Say nothing on standard error."""

    return Requests
