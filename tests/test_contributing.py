"""The chunker of CONTRIBUTING.md, installed as a plugin: it keeps the contract and the command finds it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """Return a folder in which the example is installed as pip would install it."""
    name, code = re.search(r"<!-- example: (\S+) -->\n```python\n(.*?)```", GUIDE, re.DOTALL).groups()
    (table,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    group, entry, target = re.search(r'entry-points\."(.+?)"\]\n(\w+) = "(.+?)"', table).groups()
    folder = tmp_path / "site"
    information = folder / "paragraph_chunker-1.0.dist-info"
    information.mkdir(parents=True)
    (folder / name).write_text(code, encoding="utf-8")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: paragraph-chunker\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{group}]\n{entry} = {target}\n")
    return folder


def test_the_command_finds_the_plugin_and_its_options(plugin: Path, tmp_path: Path):
    notes = tmp_path / "notes.txt"
    text = "First.\nStill first.\n\nSecond, which is longer.\n"
    notes.write_text(text)
    settings = tmp_path / "settings.yaml"
    settings.write_text("chunker: {name: paragraph, most: 30}\nembedder: hashing\n")
    command = [sys.executable, "-m", "ragkit.cli.app", "chunk", str(notes), "--config", str(settings), "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(plugin)}, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    reply = json.loads(done.stdout)
    assert reply["chunker"] == "paragraph"
    assert [chunk["text"] for chunk in reply["chunks"]] == ["First.\nStill first.", "Second, which is longer."]


def test_the_example_keeps_the_contract(plugin: Path):
    from ragkit.testing.chunker import check_chunker

    spec = util.spec_from_file_location("paragraph_chunker", plugin / "paragraph_chunker.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    check_chunker(module.ParagraphChunker())


def test_the_guide_stays_short():
    assert len(GUIDE.splitlines()) < 150
