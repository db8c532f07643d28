"""The examples of a documentation page, run as doctests: blocks of `pycon` under a comment with their name."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"


def run_example(page: str, name: str, names: dict[str, Any], **replaced: str) -> dict[str, Any]:
    """Run the block `name` of docs/`page` with `names` known, fail on any other output; return the names it leaves.

    `replaced` maps a name to what stands in the page and, after " -> ", what runs instead: only an address may differ.
    """
    text = (DOCS / page).read_text(encoding="utf-8")
    (code,) = re.findall(rf"<!-- example: {name} -->\n```pycon\n(.*?)```", text, re.DOTALL)
    for change in replaced.values():
        old, _, new = change.partition(" -> ")
        assert old in code
        code = code.replace(old, new)
    test = doctest.DocTestParser().get_doctest(code, dict(names), f"{page}: {name}", page, 0)
    assert test.examples
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    shown: list[str] = []
    result = runner.run(test, out=shown.append, clear_globs=False)
    assert result.failed == 0, "".join(shown)
    return test.globs
