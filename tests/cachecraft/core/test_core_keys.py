"""Keys: every field counts, none runs into the next."""

import numpy as np
import pytest

from ragkit.cachecraft.core.choice import chunk_keys, history, prefix_key
from ragkit.cachecraft.core.keys import ModelSpace, chunk_key, variant_name
from tests.cachecraft.core.making import ids, prompt


def test_every_field_of_the_space_counts():
    spaces = [
        ModelSpace("f", "bfloat16", "r"),
        ModelSpace("g", "bfloat16", "r"),
        ModelSpace("f", "float32", "r"),
        ModelSpace("f", "bfloat16", "yarn"),
        ModelSpace("f", "bfloat16", "r", "lora"),
        ModelSpace("f", "bfloat16", "", "r"),
    ]
    assert len({space.key for space in spaces}) == len(spaces)
    assert ModelSpace("f", "bfloat16", "r").key == spaces[0].key


def test_space_ids_and_domain_count():
    own = ids(5)
    others = [chunk_key("t", own), chunk_key("s", own[:4]), chunk_key("s", own[::-1]), chunk_key("s", own, "d")]
    assert len({chunk_key("s", own), *others}) == 5
    assert chunk_key("s", own) == chunk_key("s", own.astype(np.int64)) == chunk_key("s", own.astype(">i4"))
    assert chunk_key("sd", own, "") != chunk_key("s", own, "d")


@pytest.mark.parametrize(
    "change", [{"chunk": "d"}, {"prefix": "q"}, {"history": ["a"]}, {"start": 3}, {"generation": 1}]
)
def test_a_variants_name_says_what_its_bytes_depend_on(change):
    fields = {"chunk": "c", "prefix": "p", "history": ["a", "b"], "start": 0}
    assert variant_name(**fields) != variant_name(**{**fields, **change})
    assert variant_name(**fields) == variant_name(**fields)


def test_keys_of_a_prompt_leave_out_glue_question_and_empty_pieces():
    layout = prompt(5, 0, (5, 0), prefix=3, glue=2)  # prefix, glue, chunk, glue, empty, glue, chunk, question
    keys = chunk_keys(layout, "s")
    assert list(keys) == [0, 2, 6]
    assert keys[2] == keys[6] != keys[0]
    assert prefix_key(layout, keys) == keys[0]
    assert history(layout, keys, 6) == ((keys[2],), (5,))
    assert history(layout, keys, 2) == ((), ())
    assert prefix_key(prompt(4), {}) == ""
