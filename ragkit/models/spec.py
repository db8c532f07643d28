"""How a user names a language model in one word."""

from __future__ import annotations

from ragkit.config import PartConfig
from ragkit.errors import UsageError


def parse_llm(spec: str) -> PartConfig:
    """Return the language model that `spec` names: a server's address, else a local model by name, folder or hub id.

    A server is given as "http://host:port/v1", or "http://host:port/v1#model" where it offers several.

    >>> parse_llm("http://localhost:8000/v1#small").options
    {'base_url': 'http://localhost:8000/v1', 'model': 'small'}
    >>> parse_llm("SmolLM2-135M-Instruct").name
    'local'
    """
    spec = spec.strip()
    if not spec:
        raise UsageError(
            "The language model is empty.", hint="Give a model's name, a folder, or http://host:port/v1#model."
        )
    if spec.startswith(("http://", "https://")):
        base_url, _, model = spec.partition("#")
        return PartConfig(name="served", options={"base_url": base_url, **({"model": model} if model else {})})
    return PartConfig(name="local", options={"model": spec})
