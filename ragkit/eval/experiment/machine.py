"""One line that says what a result was computed on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("torch", "sentence-transformers", "tokenizers", "faiss-cpu", "tantivy", "numpy")


def machine() -> str:
    """Return processor, cores, memory and the versions of Python and of the libraries that decide a result."""
    import psutil

    memory = psutil.virtual_memory().total / 2**30
    libraries = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    processor = platform.processor() or platform.machine()
    return (
        f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB; {platform.system()}; "
        f"Python {platform.python_version()}; {libraries}"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
