"""How a user names a language model in one word."""

from __future__ import annotations

from ragkit.config import PartConfig
from ragkit.errors import UsageError

_VLLM = "vllm:"


def parse_llm(spec: str) -> PartConfig:
    """Return the language model that `spec` names.

    - "http://host:port/v1", or "http://host:port/v1#model" where it offers several: a served model;
    - "vllm:NAME": a model that vLLM runs in this process, by folder or hub id;
    - "cache": the scorer without a model (`ragkit.models.cache_lm`);
    - anything else: a local model by name, folder or hub id.

    >>> parse_llm("http://localhost:8000/v1#small").options
    {'base_url': 'http://localhost:8000/v1', 'model': 'small'}
    >>> parse_llm("vllm:Qwen/Qwen3-8B")
    PartConfig(name='vllm', options={'model': 'Qwen/Qwen3-8B'})
    >>> parse_llm("SmolLM2-135M-Instruct").name
    'local'
    """
    spec = spec.strip()
    in_process = spec.removeprefix(_VLLM).strip() if spec.startswith(_VLLM) else None
    if not spec or in_process == "":
        raise UsageError(
            f"The language model {spec!r} names none.",
            hint="Give a model's name, a folder, vllm:NAME, or http://host:port/v1#model.",
        )
    if spec.startswith(("http://", "https://")):
        base_url, _, model = spec.partition("#")
        return PartConfig(name="served", options={"base_url": base_url, **({"model": model} if model else {})})
    if in_process is not None:
        return PartConfig(name="vllm", options={"model": in_process})
    if spec == "cache":
        return PartConfig(name="cache")
    return PartConfig(name="local", options={"model": spec})
