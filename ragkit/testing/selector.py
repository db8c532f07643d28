"""The conformance kit of selectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    """
    for limit in limits:
        selection = selector.select(query, hits, limit, corpus)
        _check_partition(selector, selection, hits)
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
