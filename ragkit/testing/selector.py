"""The conformance kit of selectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from ragkit.errors import ContractError
from ragkit.protocols import Corpus, Selector
from ragkit.schema import Hit, Selection

_HINT = "See ragkit.protocols.Selector for the contract."


def check_selector(
    selector: Selector,
    query: str,
    hits: Sequence[Hit],
    *,
    count: Callable[[Sequence[str]], list[int]],
    corpus: Corpus | None = None,
    limits: Sequence[int | None] = (None, 0, 1, 5, 50, 500),
) -> None:
    """Raise ContractError where `selector` breaks its contract on `hits` under any of `limits` tokens.

    Checked: what is kept comes from `hits`, no chunk twice; every other hit is dropped with a reason; the tokens stated
    are those of the kept texts and within the limit; twice the same call gives the same result; no hits, no selection.

    A selector whose attribute `narrows` is true may keep parts of a hit (`Hit.part_of`): exact spans of its text that
    do not overlap. One whose attribute `fetches` is w may add chunks that `corpus` finds within w of a given hit.
    """
    for limit in limits:
        selection = selector.select(query, hits, limit, corpus)
        if getattr(selector, "narrows", False):
            _check_parts(selector, selection, hits)
            selection_of_wholes = _wholes(selection, hits)
        else:
            selection_of_wholes = selection
        _check_partition(selector, _without_fetched(selector, selection_of_wholes, hits, corpus), hits)
        _check_tokens(selector, selection, limit, count)
        if selector.select(query, list(hits), limit, corpus) != selection:
            raise ContractError(f"{selector.name}: two equal calls gave two selections.", hint=_HINT)
    empty = selector.select(query, [], None, corpus)
    if empty.hits or empty.dropped or empty.tokens:
        raise ContractError(f"{selector.name}: selected something from no hits.", hint=_HINT)


def _check_partition(selector: Selector, selection: Selection, hits: Sequence[Hit]) -> None:
    if any(hit not in hits for hit in selection.hits):
        raise ContractError(f"{selector.name}: kept a hit that it was not given.", hint=_HINT)
    chunk_ids = [hit.chunk_id for hit in selection.hits]
    if len(set(chunk_ids)) != len(chunk_ids):
        raise ContractError(f"{selector.name}: kept a chunk twice.", hint=_HINT)
    accounted = [*selection.hits, *(dropped.hit for dropped in selection.dropped)]
    if sorted(map(_key, accounted)) != sorted(map(_key, hits)):
        raise ContractError(f"{selector.name}: kept and dropped hits together are not the hits given.", hint=_HINT)
    if any(not dropped.reason.strip() for dropped in selection.dropped):
        raise ContractError(f"{selector.name}: dropped a hit without a reason.", hint=_HINT)


def _check_parts(selector: Selector, selection: Selection, hits: Sequence[Hit]) -> None:
    """Check that every part is an exact span of a hit, named after it, and that parts do not overlap."""
    parts = sorted((hit for hit in selection.hits if hit.part_of), key=lambda hit: (hit.part_of, hit.chunk.start))
    for part in parts:
        whole = next((hit for hit in hits if hit.chunk_id == part.part_of), None)
        if whole is None:
            raise ContractError(f"{selector.name}: kept a part of a hit that it was not given.", hint=_HINT)
        start, end = part.chunk.start - whole.chunk.start, part.chunk.end - whole.chunk.start
        exact = 0 <= start < end <= len(whole.chunk.text) and part.chunk.text == whole.chunk.text[start:end]
        if not exact or part.chunk.doc_id != whole.chunk.doc_id or (part.rank, part.score) != (whole.rank, whole.score):
            raise ContractError(f"{selector.name}: kept a part that is no exact span of its hit.", hint=_HINT)
    for before, after in pairwise(parts):
        if before.part_of == after.part_of and after.chunk.start < before.chunk.end:
            raise ContractError(f"{selector.name}: kept parts that overlap.", hint=_HINT)
    if len({hit.chunk_id for hit in selection.hits}) != len(selection.hits):
        raise ContractError(f"{selector.name}: kept a part twice.", hint=_HINT)


def _wholes(selection: Selection, hits: Sequence[Hit]) -> Selection:
    """Return `selection` with the given hits in the place of their parts."""
    given = {hit.chunk_id: hit for hit in sorted(hits, key=lambda hit: hit.rank, reverse=True)}
    whole = {(hit.part_of or hit.chunk_id): given.get(hit.part_of, hit) for hit in selection.hits}
    return replace(selection, hits=tuple(whole.values()))


def _without_fetched(selector: Selector, selection: Selection, hits: Sequence[Hit], corpus: Corpus | None) -> Selection:
    """Return `selection` without the neighbours that the selector may add."""
    reach = int(getattr(selector, "fetches", 0))
    if not reach or corpus is None:
        return selection
    given = {hit.chunk_id for hit in hits}
    near = {one.chunk_id for hit in hits for one in corpus.neighbours(hit.row, reach, reach)} - given
    return replace(
        selection,
        hits=tuple(hit for hit in selection.hits if hit.chunk_id not in near),
        dropped=tuple(dropped for dropped in selection.dropped if dropped.hit.chunk_id not in near),
    )


def _check_tokens(
    selector: Selector, selection: Selection, limit: int | None, count: Callable[[Sequence[str]], list[int]]
) -> None:
    tokens = sum(count([hit.chunk.text for hit in selection.hits]))
    if selection.tokens != tokens:
        raise ContractError(
            f"{selector.name}: states {selection.tokens} tokens, the kept texts have {tokens}.", hint=_HINT
        )
    if limit is not None and tokens > limit:
        raise ContractError(f"{selector.name}: kept {tokens} tokens under a limit of {limit}.", hint=_HINT)


def _key(hit: Hit) -> tuple[int, str, float]:
    return hit.rank, hit.chunk_id, hit.score
