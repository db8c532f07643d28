"""How much attention chosen tokens pay to each piece of a prompt, read off while a forward pass runs.

The model's output comes from transformers' own `sdpa` function; beside it, only the rows of the observed tokens are
computed a second time, in blocks, and added up by piece at once. Never a matrix of all tokens by all tokens, and no
model is edited: the function is registered with transformers' attention interface (5.x) and switched on by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ragkit.cachecraft.core.prompt import Positions, Span
from ragkit.cachecraft.hf.attention import switched
from ragkit.errors import UnsupportedError, UsageError

Masses = NDArray[np.float32]
"""Post-softmax attention, mean over query heads, shape (layers, tokens, pieces)."""

FUNCTION = "ragkit_observed"
"""The name of the attention function in transformers' registry: `sdpa` that tells an observer what it saw."""

BLOCK = 128
"""Observed queries at a time: heads * BLOCK * keys * 4 bytes are held, 134 MB for 32 heads and 8,192 keys."""

_observer: ContextVar[Observer | None] = ContextVar("ragkit_observer", default=None)


class SeenError(Exception):
    """Ends a forward pass that nobody needs the rest of: everything that was to be observed is in `observer`."""

    def __init__(self, observer: Observer) -> None:
        super().__init__("All that was to be observed was seen.")
        self.observer = observer


class _Row(NamedTuple):
    """What one row of the batch has to show: which observed tokens, in which query rows, seeing how far."""

    tokens: NDArray[np.int64]  # indices into the observed tokens of this row of the batch
    queries: torch.Tensor  # the query row of each
    reach: NDArray[np.int64]  # keys [0, reach) hold all that each query sees
    added: bool  # the mask does more than hide


class Observer:
    """Collects the attention of `tokens` (one array of positions for each row of a batch) on the key spans `spans`.

    With `spans` None each key is a piece of its own, for a few tokens only: the result has tokens * keys numbers a
    layer. A forward may be split in several passes; each gives the tokens that it computes.
    """

    def __init__(
        self,
        spans: Sequence[Span] | None,
        tokens: Sequence[Positions],
        keys: int,
        layers: Sequence[int],
        block: int = BLOCK,
        *,
        ending: bool = False,
    ) -> None:
        self.layers = tuple(layers)
        self._ending = ending
        self._spans = spans
        self._keys = keys
        self._tokens = tokens
        self._block = block
        pieces = keys if spans is None else len(spans)
        self._found = [np.zeros((len(layers), len(row), pieces), np.float32) for row in tokens]
        self._done = [np.zeros((len(layers), len(row)), np.bool_) for row in tokens]
        self._at = {layer: at for at, layer in enumerate(layers)}
        self._seen: tuple[Any, Any, list[_Row]] | None = None
        self._members: torch.Tensor | None = None

    @property
    def masses(self) -> Masses:
        """The masses of the first row of the batch, (layers, tokens, pieces); see `of`."""
        return self.of(0)

    def of(self, row: int) -> Masses:
        """Return the masses of one row of the batch, (layers, tokens, pieces), in the order that was asked for.

        Raises UsageError where an observed token was not among those that the forward computed, and UnsupportedError
        where the model runs attention of its own and nothing could be read.
        """
        if self._seen is None:
            raise UnsupportedError(
                "The model's layers never called the observed attention function.",
                hint="Only models that take transformers' attention functions by name can be observed.",
            )
        lost = self._tokens[row][~self._done[row].all(axis=0)]
        if len(lost):
            raise UsageError(
                f"The positions {lost[:5].tolist()} are to be observed; the forward did not compute them.",
                hint="Observe tokens that are fresh in the plan: a loaded token asks no query.",
            )
        return self._found[row]

    def see(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, *, mask: torch.Tensor | None, scale: float, at: Any
    ) -> None:
        """Add what the observed queries of one layer see; shapes as transformers passes them, `at` the positions."""
        if layer not in self._at:
            return
        exact = torch.promote_types(query.dtype, torch.float32)
        for row, one in enumerate(self._rows(query, key, mask, at)):
            keys = key[row].to(exact)
            for start in range(0, len(one.tokens), self._block):
                part = slice(start, start + self._block)
                reach = int(one.reach[part].max())
                queries = query[row].index_select(1, one.queries[part]).to(exact)
                bias = _bias(mask, row, one.queries[part], query, key)[..., :reach]
                scores = _scores(queries, keys[:, :reach], bias, scale, added=one.added)
                self._found[row][self._at[layer], one.tokens[part]] = self._pieces(scores).float().cpu().numpy()
            self._done[row][self._at[layer], one.tokens] = True
        if self._ending and layer == self.layers[-1]:
            raise SeenError(self)

    def _pieces(self, scores: torch.Tensor) -> torch.Tensor:
        """Return the attention (tokens, pieces), mean over heads, of scores (heads, tokens, keys), overwriting them."""
        reach = scores.shape[2]
        if self._spans is None:
            mean = torch.softmax(scores, -1).mean(0)
            return torch.nn.functional.pad(mean, (0, max(0, self._keys - reach)))[:, : self._keys]
        if self._members is None or len(self._members) < reach:
            self._members = _members(self._spans, max(self._keys, reach)).to(scores)
        # The softmax is divided by its sum, the last column, after adding up by piece: two passes less over all keys.
        scores.sub_(scores.amax(-1, keepdim=True)).exp_()
        sums = torch.matmul(scores, self._members[:reach])
        return (sums[..., :-1] / sums[..., -1:]).mean(0)

    def _rows(self, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, at: Any) -> list[_Row]:
        # One look at positions and mask for all layers of a pass: on a GPU each look waits for the device.
        if self._seen is None or self._seen[0] is not at or self._seen[1] is not mask:
            if query.shape[0] != len(self._tokens):
                raise UsageError(f"Tokens of {len(self._tokens)} rows are observed, a batch of {query.shape[0]} came.")
            positions = at.reshape(-1, at.shape[-1]).cpu().numpy()
            self._seen = at, mask, [self._row(r, positions[min(r, len(positions) - 1)], query, key, mask)
                                    for r in range(len(self._tokens))]  # fmt: skip
        return self._seen[2]

    def _row(
        self, row: int, positions: NDArray[np.int64], query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None
    ) -> _Row:
        there, first = np.unique(positions, return_index=True)
        where = np.searchsorted(there, self._tokens[row])
        tokens = np.flatnonzero(there[np.minimum(where, len(there) - 1)] == self._tokens[row])
        queries = torch.as_tensor(first[where[tokens]], device=query.device)
        slots = torch.arange(1, key.shape[2] + 1, device=query.device)
        reach = [torch.zeros(0, dtype=torch.int64, device=query.device)]
        added = torch.zeros((), dtype=torch.bool, device=query.device)
        for part in queries.split(self._block):
            bias = _bias(mask, row, part, query, key)
            visible = bias > -torch.inf
            added |= (visible & (bias != 0)).any()
            reach.append((visible.any(0) * slots).amax(-1))
        return _Row(tokens, queries, torch.cat(reach).cpu().numpy(), bool(added))


@contextmanager
def observing(
    model: Any,
    spans: Sequence[Span] | None,
    tokens: Positions | Sequence[Positions],
    *,
    keys: int | None = None,
    layers: Collection[int] | None = None,
    block: int = BLOCK,
    ending: bool = False,
) -> Iterator[Observer]:
    """Yield an `Observer` of the forward passes of `model` within the block; read its `.masses` afterwards.

    `tokens` are positions of the prompt, for a batch one array for each of its rows; they must be computed by the
    forward (be fresh in the plan). `spans` are the pieces, as spans of key slots (slot p holds position p); with None
    every one of the first `keys` keys is a piece. `layers` observes some layers only. The mask is the one that the
    forward uses, so that the masses are those of the attention that really ran. Outputs equal `sdpa`'s; a model that
    was loaded with another implementation gets it back afterwards. One thread may run a model at a time.
    With `ending` the pass ends at the last observed layer's attention, by SeenError.
    """
    rows = [tokens] if isinstance(tokens, np.ndarray) else list(tokens)
    if spans is None and keys is None:
        raise UsageError("Neither spans nor a number of keys was given.", hint="Give the layout's spans.")
    count = int(model.config.num_hidden_layers)
    wanted = sorted(range(count) if layers is None else layers)
    width = max((span.end for span in spans), default=0) if spans is not None else int(keys or 0)
    observer = Observer(spans, [np.asarray(row, np.int64) for row in rows], width, wanted, block, ending=ending)
    mark = _observer.set(observer)
    try:
        with switched(model, FUNCTION):
            yield observer
    finally:
        _observer.reset(mark)


def observed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return what transformers' `sdpa` returns, and show queries and keys to the observer, if there is one."""
    observer = _observer.get()
    if observer is not None:
        at = options.get("position_ids")
        if at is None:
            raise UnsupportedError(
                f"{type(module).__name__} does not pass positions on to its attention function.",
                hint="Its attention cannot be observed; use a policy that needs no statistics, such as 'epic'.",
            )
        scale = options.get("scaling") or query.shape[-1] ** -0.5
        with torch.no_grad():
            observer.see(
                int(getattr(module, "layer_idx", 0)), query, key, mask=attention_mask, scale=float(scale), at=at
            )
    result: tuple[torch.Tensor, torch.Tensor | None] = ALL_ATTENTION_FUNCTIONS["sdpa"](
        module, query, key, value, attention_mask, **options
    )
    return result


def _members(spans: Sequence[Span], keys: int) -> torch.Tensor:
    """Return which keys belong to which piece, (keys, pieces + 1); every key belongs to the last column."""
    members = torch.zeros(keys, len(spans) + 1)
    for piece, span in enumerate(spans):
        members[span.start : span.end, piece] = 1
    members[:, -1] = 1
    return members


def _scores(query: torch.Tensor, key: torch.Tensor, bias: torch.Tensor, scale: float, *, added: bool) -> torch.Tensor:
    """Return scores (heads, tokens, keys), -inf if hidden, of queries (heads, tokens, d), keys (kv heads, keys, d)."""
    heads, tokens, width = query.shape
    grouped = query.reshape(key.shape[0], -1, width)  # the query heads of one key head follow one another
    scores = torch.matmul(grouped * scale, key.transpose(1, 2)).view(heads, tokens, -1)
    if added:
        scores += bias
    # Slots behind the mask may hold anything, also NaN, which an addition of -inf would keep.
    return scores.masked_fill_(bias == -torch.inf, -torch.inf)


def _bias(
    mask: torch.Tensor | None, row: int, queries: torch.Tensor, query: torch.Tensor, key: torch.Tensor
) -> torch.Tensor:
    """Return the additive mask of the queries of one row, (1 or heads, queries, keys), -inf where hidden."""
    exact = torch.promote_types(query.dtype, torch.float32)
    if mask is None:  # what sdpa does then: causal by row, except for a single query
        slots = torch.arange(key.shape[2], device=query.device)
        last = queries if query.shape[2] > 1 else queries + key.shape[2]
        return torch.where(slots[None, :] <= last[:, None], 0.0, -torch.inf).to(exact)[None]
    chosen = mask[min(row, mask.shape[0] - 1), :, :, : key.shape[2]].index_select(1, queries)
    if chosen.dtype == torch.bool:
        return torch.zeros(chosen.shape, dtype=exact, device=chosen.device).masked_fill_(~chosen, -torch.inf)
    hidden = chosen <= torch.finfo(chosen.dtype).min / 2  # transformers writes the least number, not -inf
    return chosen.to(exact).masked_fill(hidden, -torch.inf)


AttentionInterface.register(FUNCTION, observed_attention)
AttentionMaskInterface.register(FUNCTION, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
