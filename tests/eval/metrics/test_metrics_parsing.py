"""Measures as values: written, read, printed, compared."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ragkit.errors import UnknownPartError, UsageError
from ragkit.eval.metrics import MEASURES, IoU, Measure, Recall, Scores, adaptive, chars, evaluate, nDCG, parse, tokens
from ragkit.eval.metrics.measure import Option, Value
from tests.eval.metrics.small import query, run


def values_of(option: Option) -> st.SearchStrategy[Value]:
    if option.choices:
        return st.sampled_from(option.choices)
    if isinstance(option.default, bool):
        return st.booleans()
    if isinstance(option.default, int):
        return st.integers(int(option.low), int(min(option.high, 50)))
    if isinstance(option.default, str):
        return st.text(max_size=20)
    return st.floats(option.low, option.high, allow_nan=False)


@st.composite
def measures(draw: st.DrawFn) -> Measure:
    measure = MEASURES[draw(st.sampled_from(sorted(MEASURES)))]
    options = {
        name: draw(values_of(option)) for name, option in measure.declaration.options.items() if draw(st.booleans())
    }
    measure = measure(**options) if options else measure
    allowed = sorted(measure.declaration.cutoffs)
    if allowed and draw(st.booleans()):
        size = draw(st.integers(1, 10**6))
        kind = draw(st.sampled_from(allowed))
        measure = measure @ {"k": size, "tokens": tokens(size), "chars": chars(size), "adaptive": adaptive(size)}[kind]
    return measure


@given(measures())
def test_every_measure_is_read_back_as_it_was_written(measure: Measure):
    again = parse(str(measure))
    assert again == measure
    assert hash(again) == hash(measure)
    assert str(again) == str(measure) == repr(measure)


@pytest.mark.parametrize(
    "text",
    [
        "Recall@5",
        "IoU@tokens(400)",
        "nDCG@10",
        'Recall(redundancy="union")@chars(2000)',
        "Recall@adaptive()",
        "Precision@adaptive(10)",
        "ReferenceHit(cover=0.25)@3",
        'AP(ap_norm=True, unit="documents")@10',
        "BLEU(n=2, smooth=False)",
        "Pk(k=3)",
    ],
)
def test_written_forms(text: str):
    assert str(parse(text)) == text
    assert str(parse(f"  {text.replace('@', ' @ ')} ")) == text


def test_values_compose_and_can_be_keys():
    table = {Recall @ 5: 1, IoU @ tokens(400): 2, nDCG(gain="exponential") @ 10: 3}
    assert table[parse("IoU@tokens(400)")] == 2
    assert Recall(unit="tokens")(redundancy="union") == Recall(redundancy="union", unit="tokens")
    assert Recall @ 5 != Recall @ 6
    assert str(Recall @ 5 @ 7) == "Recall@7"
    # the default, written out, is the same measure and prints as it was written
    assert Recall(redundancy="sum") == Recall
    assert str(Recall(redundancy="sum")) == 'Recall(redundancy="sum")'


@pytest.mark.parametrize(
    ("text", "near"),
    [("Recal@5", "Recall"), ("ndcg@10", "nDCG"), ("iou", "IoU"), ("precisionomega", "PrecisionOmega"), ("MRR", "RR")],
)
def test_an_unknown_name_gets_the_nearest(text: str, near: str):
    with pytest.raises(UnknownPartError, match="There is no measure named") as caught:
        parse(text)
    assert f"Did you mean '{near}'?" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('Recall(redundancy="unoin")', 'one of "sum", "union" was expected. Did you mean \'union\'?'),
        ("Recall(redundancy=3)", "cannot be 3"),
        ("Recall(redundency='sum')", "has no option 'redundency'. Did you mean 'redundancy'?"),
        ("EM(x=1)", "Options: none"),
        ("ReferenceHit(cover=1.5)", "a number from 1e-06 to 1 was expected"),
        ("ReferenceHit(cover=0)", "cannot be 0.0"),
        ("BLEU(n=True)", "a whole number from 1 to 9"),
        ("AP(ap_norm=1)", "True or False was expected"),
        ("Pk(k=-1)", "a whole number from 0 was expected"),
        ("Recall@0", "at least 1 was expected"),
        ("Recall@tokens(0)", "at least 1 was expected"),
        ("Recall@token(5)", "no cut-off named 'token'. Did you mean 'tokens'?"),
        ("Recall@tokens(5, 6)", "is not a measure"),
        ("Recall@True", "is not a measure"),
        ("Recall@'5'", "is not a measure"),
        ("PrecisionOmega@5", "It is defined without a cut-off only"),
        ("nDCG@tokens(5)", "It is defined @k"),
        ("Hit@adaptive()", "cannot be taken @adaptive()"),
        ("EM@5", "cannot be taken @5"),
        ("Recall('union')", "is not a measure"),
        ("Recall(**{})", "is not a measure"),
        ("Recall(cover=[1])", "is not a measure"),
        ("Recall(unit=open('x'))", "is not a measure"),
        ("Recall(unit='chars', unit='chars')", "is not a measure"),
        ("__import__('os').system('true')@5", "is not a measure"),
        ("", "is not a measure"),
        ("Recall@", "is not a measure"),
        ("5", "is not a measure"),
        ("Recall\0", "is not a measure"),
        ("(" * 400 + "Recall" + ")" * 400, "is not a measure"),
        ("-" * 499 + "1", "is not a measure"),
        ("Recall@" + "9" * 10_000, "is not a measure"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, message: str):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert caught.value.hint


@given(st.text())
@example("Recall@5j")
@example("Recall(unit=b'')")
@example("lambda: 0")
def test_any_text_is_a_measure_or_a_usage_error(text: str):
    try:
        measure = parse(text)
    except UsageError:
        return
    assert parse(str(measure)) == measure


def test_scores_name_the_nearest_measure_that_was_computed():
    scores = evaluate(["Recall@5"], [query(("d", 0, 9))], [run()])
    assert isinstance(scores, Scores)
    assert Recall @ 5 in scores
    assert "Recall@6" not in scores
    assert len(scores) == 1
    with pytest.raises(UsageError, match=r"Did you mean 'Recall@5'\?"):
        scores["Recall@50"]


def test_names_are_unique_and_families_known():
    assert all(name == measure.name for name, measure in MEASURES.items())
    assert {measure.declaration.family for measure in MEASURES.values()} == {"retrieval", "answer", "segmentation"}
    assert all(measure.declaration.summary for measure in MEASURES.values())
