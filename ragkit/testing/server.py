"""A model server that says what a test tells it to: real HTTP on the loopback interface.

with FakeServer([status(429), reply("Paris.")]) as server:
    ServedLanguageModel(server.url).generate(...)

Given a `ToyModel` it also tokenizes, tells log-probabilities and fills JSON schemas, as vLLM does:

with FakeServer(toy=ToyModel(), owned_by="vllm") as server:
    ServedLanguageModel(server.url).score(...)
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from ragkit.testing.toy import ToyModel
from ragkit.testing.toy_protocol import EVERYTHING, ToyProtocol


@dataclass(frozen=True, slots=True)
class Scripted:
    """One answer of the server: after `delay` seconds, the first `share` of `body`, announced in full length."""

    body: bytes
    status: int = 200
    delay: float = 0.0
    share: float = 1.0
    headers: Mapping[str, str] = field(default_factory=dict)


Script = Sequence[Scripted] | Callable[[dict[str, Any]], Scripted]
"""What is said to each completion in turn, the last entry for ever; or a function of the request."""


def reply(text: str, *, tokens: int = 5, delay: float = 0.0, finish: str = "stop") -> Scripted:
    """Return a chat completion that says `text`; `finish` is "length" where max_tokens cut it off."""
    completion = {
        "id": "fake",
        "object": "chat.completion",
        "created": 0,
        "model": "fake",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "text": text, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens},
    }
    return Scripted(json.dumps(completion).encode(), delay=delay)


def status(code: int, message: str = "scripted failure", **headers: str) -> Scripted:
    """Return a refusal with the HTTP status `code`, without a pause before the next attempt.

    Other headers are given with underscores: `retry_after="2"`.
    """
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Scripted(body, status=code, headers=named if "retry-after" in named else {"retry-after-ms": "1", **named})


def truncated(text: str = "half of this is never sent") -> Scripted:
    """Return a reply whose connection breaks off in the middle of its body."""
    return Scripted(reply(text).body, share=0.5)


def half(text: str = "half of this is never sent") -> Scripted:
    """Return a reply that is complete as HTTP goes, but whose JSON stops in the middle."""
    body = reply(text).body
    return Scripted(body[: len(body) // 2])


def garbage(body: bytes = b"<html>not JSON</html>") -> Scripted:
    """Return a body that is no chat completion."""
    return Scripted(body)


class FakeServer:
    """Serves `script` to completions and lists `models`; refuses others, as vLLM does, with status 404.

    `requests` holds the parsed body of each completion, in order; `calls` counts the requests by path. With a `toy`
    model, `offers` says which extensions the server has.
    """

    def __init__(
        self,
        script: Script = (),
        models: Sequence[str] = ("fake",),
        *,
        toy: ToyModel | None = None,
        offers: Sequence[str] = EVERYTHING,
        owned_by: str = "test",
        **limits: int,
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self.calls: Counter[str] = Counter()
        self._script = script if callable(script) else list(script) or [reply("ok")]
        self._models = [
            {"id": name, "object": "model", "created": 0, "owned_by": owned_by, **limits} for name in models
        ]
        self._toy = None if toy is None else ToyProtocol(toy, offers, limits.get("max_model_len", 8192))
        self._lock = threading.Lock()
        self._server = _Quiet(("127.0.0.1", 0), _requests_for(self))
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

    def answer(self, path: str, request: dict[str, Any]) -> Scripted:
        """Return the reply to `request` at `path`."""
        with self._lock:
            self.calls[path] += 1
            if path == "/v1/models":
                return Scripted(json.dumps({"object": "list", "data": self._models}).encode())
            if request.get("model") not in [model["id"] for model in self._models]:
                return status(404, f"The model `{request.get('model')}` does not exist.")
            completes = path in ("/v1/chat/completions", "/v1/completions")
            if completes:
                self.requests.append(request)
            told = self._toy.answer(path, request) if self._toy is not None else None
            if told is not None:
                return status(*told) if isinstance(told, tuple) else Scripted(json.dumps(told).encode())
            return self._scripted(request) if completes else status(404, "Not Found")

    def _scripted(self, request: dict[str, Any]) -> Scripted:
        if callable(self._script):
            return self._script(request)
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]


class _Quiet(ThreadingHTTPServer):
    """A server that says nothing about clients that hang up, and that many may call at once."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: tests of timeouts and interrupts make clients hang up."""


def _requests_for(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet: two cost a delayed acknowledgement of 40 ms

        def do_GET(self) -> None:
            self._send(server.answer(self.path, {}) if self.path == "/v1/models" else status(404))

        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(server.answer(self.path, content))

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
