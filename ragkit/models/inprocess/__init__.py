"""The vLLM side of the in-process language model, one idea per file; `ragkit.models.vllm` is the door."""
