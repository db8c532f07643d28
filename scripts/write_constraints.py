"""Write constraints.txt: the exact version of everything that `pip install -e '.[dev]'` brings into this environment.

Run it inside the environment that passed the tests: .venv/bin/python scripts/write_constraints.py
Local version suffixes (torch's +cpu) are dropped, so that the file fits every machine that offers the version.
"""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

TARGET = Path(__file__).parents[1] / "constraints.txt"
HEADER = "# Written by scripts/write_constraints.py: the versions that the tests passed with.\n"


def closure(name: str, extras: set[str]) -> dict[str, str]:
    """Return the version of every installed distribution that `name[extras]` needs, itself left out."""
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonicalize_name(name), frozenset(extras))]
    while waiting:
        package, wanted = waiting.pop()
        if (package, wanted) in seen:
            continue
        seen.add((package, wanted))
        installed = distribution(package)
        found[package] = Version(installed.version).public
        for line in installed.requires or []:
            needed = Requirement(line)
            environments = [{"extra": extra} for extra in (*wanted, "")]
            if needed.marker is None or any(needed.marker.evaluate(environment) for environment in environments):
                waiting.append((canonicalize_name(needed.name), frozenset(needed.extras)))
    del found[canonicalize_name(name)]
    return found


def main() -> None:
    """Write the file."""
    lines = [f"{package}=={version}\n" for package, version in sorted(closure("ragkit", {"dev"}).items())]
    TARGET.write_text(HEADER + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
