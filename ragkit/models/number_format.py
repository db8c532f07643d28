"""The number format in which a model of this process computes, told without importing torch where that is possible."""

from __future__ import annotations

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""One of these exists on a Linux host whose GPU torch can use: NVIDIA, AMD, Windows' subsystem."""


def number_format(dtype: str, device: str = "auto") -> str:
    """Return what `dtype` "auto" comes to on `device`: bfloat16 on a GPU, float32 on a CPU; any other as it is.

    Results of the two differ in the third digit, so what one computed is not the other's.

    >>> number_format("auto", "cpu"), number_format("auto", "cuda:1"), number_format("float16", "cpu")
    ('float32', 'bfloat16', 'float16')
    """
    if dtype != "auto":
        return dtype
    on_cpu = not has_gpu() if device == "auto" else device == "cpu"
    return "float32" if on_cpu else "bfloat16"


def has_gpu() -> bool:
    """Return what `torch.cuda.is_available()` does; torch is imported only where the answer may be yes."""
    if "torch" not in sys.modules and not _may_have_gpu():
        return False
    import torch

    return bool(torch.cuda.is_available())


@cache
def _may_have_gpu() -> bool:
    """Return False where this host has no driver of a GPU, or torch is built without."""
    if sys.platform == "linux" and not any(Path(driver).exists() for driver in _DRIVERS):
        return False
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    version = Path(found.origin).with_name("version.py")
    text = version.read_text(encoding="utf-8") if version.is_file() else ""
    builds = re.findall(r"^(?:cuda|hip)\b[^=\n]*=\s*(.+)$", text, re.M)
    return not builds or any(build.strip() != "None" for build in builds)
