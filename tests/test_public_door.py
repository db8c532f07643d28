"""What `import ragkit` offers is there, sorted, documented, and costs nothing before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ragkit
import ragkit.testing


@pytest.mark.parametrize("door", [ragkit, ragkit.testing], ids=["ragkit", "ragkit.testing"])
def test_every_name_is_there_sorted_and_documented(door):
    assert door.__all__ == sorted(door.__all__)
    for name in door.__all__:
        value = getattr(door, name)
        assert name.startswith("__") or value.__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Pipelin"):
        ragkit.Pipelin  # noqa: B018 - the look-up is the test


def test_importing_costs_nothing():
    code = "import sys, ragkit; print([name for name in ('numpy', 'torch', 'tantivy') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert "Pipeline" in dir(ragkit)


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert ragkit.__version__ == version("ragkit")
