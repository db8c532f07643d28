"""Keys never collide, and are the same in every process."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from ragkit.identity import content_hash

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
fields = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


def typed(value):
    """Tell 1 from True and 1.0, and 0.0 from -0.0, which == does not."""
    if isinstance(value, list):
        return ("list", [typed(item) for item in value])
    if isinstance(value, dict):
        return ("dict", sorted((key, typed(item)) for key, item in value.items()))
    return (type(value).__name__, value.hex() if isinstance(value, float) else value)


@given(fields, fields)
def test_different_fields_have_different_hashes(one, other):
    assert (content_hash("k", f=one) == content_hash("k", f=other)) == (repr(typed(one)) == repr(typed(other)))


def test_borders_between_fields_count():
    texts = [["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["", "abc"], [["a"], "bc"], ["a", ["bc"]]]
    assert len({content_hash("k", f=text) for text in texts}) == len(texts)
    assert content_hash("chunk", start=1) != content_hash("span", start=1)
    assert content_hash("k", a="x", b=None) != content_hash("k", a="x")


def test_the_hash_is_fixed_across_processes():
    code = "from ragkit.identity import content_hash; print(content_hash('k', b=[1, 'x', None], a=2.5))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == content_hash("k", a=2.5, b=[1, "x", None]) == "255d22c297a75a3bedf4f3f333df1fb6"
