"""Write constraints.txt: the exact version of everything that `pip install -e '.[dev]'` brings into this environment.

Run it inside the environment that passed the tests: .venv/bin/python scripts/write_constraints.py
Local version suffixes (torch's +cpu) are dropped, so that the file fits every machine that offers the version.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
HEADER = "# Written by scripts/write_constraints.py: the versions that the tests passed with.\n"


def required(extra: str | None = "dev") -> list[str]:
    """Return what pyproject.toml asks for, and the `extra` with it; the installed metadata may be older."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *(project["optional-dependencies"][extra] if extra else ())]


def closure(requirements: Iterable[str], without: Collection[str] = ()) -> dict[str, str]:
    """Return the installed version of everything that `requirements` need here, the packages `without` left out."""
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(Requirement(line), frozenset[str]()) for line in requirements]
    while waiting:
        needed, asking = waiting.pop()
        environments = [{"extra": extra} for extra in (*asking, "")]
        if needed.marker is not None and not any(needed.marker.evaluate(each) for each in environments):
            continue
        package, extras = canonicalize_name(needed.name), frozenset(needed.extras)
        if (package, extras) in seen or package in without:
            continue
        seen.add((package, extras))
        installed = distribution(package)
        found[package] = Version(installed.version).public
        waiting += [(Requirement(line), extras) for line in installed.requires or []]
    return found


def main() -> None:
    """Write the file."""
    lines = [f"{package}=={version}\n" for package, version in sorted(closure(required()).items())]
    (ROOT / "constraints.txt").write_text(HEADER + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
