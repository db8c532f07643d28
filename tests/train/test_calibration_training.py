"""What counts as relevant when a calibration is learnt, and what is said of it."""

import pytest

from ragkit.eval.types import EvidenceSpan, Query
from ragkit.schema import Chunk
from ragkit.train.calibration import is_relevant


@pytest.mark.parametrize(
    ("start", "end", "evidence", "wanted"),
    [
        (0, 100, (10, 20), True),  # holds it
        (0, 100, (95, 105), True),  # holds half of it
        (0, 100, (96, 106), False),  # less than half of it, and little of the chunk
        (20, 60, (0, 1000), True),  # lies in it
        (0, 100, (50, 5000), True),  # half of it lies in it
        (0, 100, (51, 5000), False),
        (0, 100, (100, 110), False),  # only touches it
    ],
)
def test_half_of_one_or_of_the_other(start, end, evidence, wanted):
    query = Query("q", "?", evidence=(EvidenceSpan("d", *evidence),))
    assert is_relevant(Chunk("d", start, end, "x" * (end - start)), query) is wanted
    assert not is_relevant(Chunk("other", start, end, "x" * (end - start)), query)
    judged = Query("q", "?", evidence=(EvidenceSpan("d", *evidence, grade=0.0),))
    assert not is_relevant(Chunk("d", start, end, "x" * (end - start)), judged)
