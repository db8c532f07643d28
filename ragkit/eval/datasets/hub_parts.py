"""Hub data sets in several configurations, joined: BEIR's corpus, queries and qrels; those of MultiHop-RAG."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ragkit.errors import LoadError
from ragkit.eval.datasets import beir, multihop_rag
from ragkit.eval.datasets.draft import Draft, Flaw

Rows = Iterable[Mapping[str, Any]]
Fetch = Callable[[str, str], Mapping[str, Rows]]
"""From (repository, configuration; "" for its only one) to rows by split."""

PREFERRED = ("test", "validation", "dev", "train")
_CORPUS, _QUERIES = "corpus", "queries"
_QRELS = ("qrels", "default")
"""Configurations that hold judgements: the second is that of the MTEB organisation's copies."""


def is_in_parts(configurations: Sequence[str]) -> bool:
    """Return whether the configurations of a repository are parts of one data set."""
    return _CORPUS in configurations and len(configurations) > 1


def fill(
    draft: Draft, source: str, configurations: Sequence[str], fetch: Fetch, *, split: str = "", qrels: str = ""
) -> None:
    """Fill `draft` from all parts of `source`; `split` is that of the judgements, or of MultiHop-RAG's queries.

    BEIR's judgements are a configuration, or a repository of their own, `qrels`, by default "NAME-qrels". Raises
    LoadError where a part is missing or of no known shape.
    """
    corpus = _placed(f"hub:{source}, corpus", _only(fetch(source, _CORPUS), _CORPUS))
    if _QUERIES in configurations:
        own = next((name for name in _QRELS if name in configurations and not qrels), "")
        repository = source if own else qrels or f"{source}-qrels"
        judged, chosen = chosen_split(fetch(repository, own), split, f"hub:{repository}")
        queries = _placed(f"hub:{source}, queries", _only(fetch(source, _QUERIES), _QUERIES))
        place = f"hub:{repository}, {chosen}"
        beir.fill(draft, corpus, queries, _judgements(draft, place, judged), qrels=f"{chosen} judgements", place=place)
        return
    other = next(name for name in configurations if name != _CORPUS)
    rows, _ = chosen_split(fetch(source, other), split, f"hub:{source}, {other}")
    found = list(rows)
    if found and not {"query", "evidence_list"} <= found[0].keys():
        raise LoadError(
            f"hub:{source}: it has a corpus, and the columns {', '.join(sorted(found[0]))} in {other!r}; expected "
            "BEIR's or MultiHop-RAG's.",
            hint=f"Read one part alone with config={other}.",
        )
    multihop_rag.fill(draft, corpus, _placed(f"hub:{source}, {other}", found))


def chosen_split(found: Mapping[str, Rows], split: str, place: str) -> tuple[Rows, str]:
    """Return the rows of `split`, by default of the first of test, validation, dev, train, and its name."""
    chosen = split or next((name for name in PREFERRED if name in found), next(iter(found), ""))
    if chosen not in found:
        raise LoadError(
            f"{place} has no split {chosen!r}.", hint=f"Available: {', '.join(found) or 'none'}; give split=NAME."
        )
    return found[chosen], chosen


def _only(found: Mapping[str, Rows], part: str) -> Rows:
    """Return the rows of a part that is not split, whatever its only split is called."""
    return found[part] if part in found else chosen_split(found, "", part)[0]


def _placed(place: str, rows: Rows) -> Iterator[tuple[str, Any]]:
    for number, item in enumerate(rows):
        yield f"{place}, row {number}", dict(item)


def _judgements(draft: Draft, place: str, rows: Rows) -> Iterator[beir.Judgement]:
    for number, item in enumerate(rows):
        where = f"{place}, row {number}"
        with draft.record(where):
            try:
                # ids are numbers in some repositories and texts in the corpus
                judgement = where, str(item["query-id"]), str(item["corpus-id"]), float(item["score"])
            except (KeyError, TypeError, ValueError):
                raise Flaw(
                    "malformed record", f"found {dict(item)!r:.80}; expected query-id, corpus-id and score"
                ) from None
            yield judgement
