"""Decoding constrained to a JSON schema, through llguidance: the tokens that may come next, for each row of a batch."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from ragkit.errors import ModelError, UsageError
from ragkit.models.causal.loops import loops

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

_LIST_LOOP = 64
"""Tokens that must return before a list counts as looping: its entries share their keys for a reason."""


class Grammars:
    """The tokenizer's side of constrained decoding: made once for a model, its grammars once for a schema."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Sequence[int]) -> None:
        """Take a fast transformers tokenizer, the width of the model's scores and its end tokens."""
        from llguidance.hf import from_tokenizer

        self.vocabulary = max(vocabulary, len(tokenizer))
        self.ends = list(ends)
        self._tokens = from_tokenizer(tokenizer, n_vocab=self.vocabulary, eos_token=self.ends)
        self.texts = {token: text for text, token in tokenizer.get_vocab().items()}
        self.quote = self._where(r'"[\]}]*')
        self.bracket = self._where(r"[\]}]+")
        self.list_end = self._where(r"\][\]}]*")
        self.comma = self._where(r",.*")
        self.next_entry = self._where(r'.*".*,.*')
        self._grammars: dict[str, str] = {}

    def _where(self, pattern: str) -> NDArray[np.bool_]:
        """Return for each token whether its text matches; JSON's marks are the same in every kind of vocabulary."""
        found = np.zeros(self.vocabulary, dtype=bool)
        matches = re.compile(pattern, re.DOTALL).fullmatch
        found[[token for token, text in self.texts.items() if matches(text)]] = True
        return found

    def matchers(self, schema: type[BaseModel], rows: int) -> list[Matcher]:
        """Return a fresh matcher for each of `rows` replies; raise UsageError for a schema that no grammar covers."""
        from llguidance import LLMatcher

        text = json.dumps(_closed(schema.model_json_schema()))
        if text not in self._grammars:
            form: JsonCompileOptions = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
            self._grammars[text] = LLMatcher.grammar_from_json_schema(text, overrides=form)
        first = LLMatcher(self._tokens, self._grammars[text])
        if first.is_error():
            raise UsageError(
                f"The schema {schema.__name__} cannot be turned into a grammar: {first.get_error().splitlines()[0]}",
                hint="Use plain fields, lists, enumerations and nested models.",
            )
        return [Matcher(self, first.deep_copy()) for _ in range(rows)]


class Matcher:
    """What one reply may continue with.

    A small model that fills an unbounded string or list never stops by itself. Once a string or number repeats itself,
    it is closed; once whole entries repeat, the list ends after the entry that is being written. The JSON stays valid
    and the rest is written as ever.
    """

    def __init__(self, grammars: Grammars, matcher: Any) -> None:
        self._grammars = grammars
        self._matcher = matcher
        self._reply: list[int] = []
        self._value = 0
        self._close_value = self._close_list = False
        self._inside = self._escaped = False

    def add(self, token: int) -> bool:
        """Take the next token of the reply; return whether the JSON is complete."""
        self._matcher.consume_token(token)
        if self._matcher.is_error():
            raise ModelError(
                f"The grammar refused a token that it had allowed: {self._matcher.get_error().splitlines()[0]}",
                hint="The model's tokenizer.json is not what its vocabulary needs: fetch or convert the model anew.",
            )
        self._reply.append(token)
        quotes = sum(map(self._reads_quote, self._grammars.texts.get(token, "")))
        if quotes or (not self._inside and (self._grammars.comma[token] or self._grammars.bracket[token])):
            self._value, self._close_value = len(self._reply), False
        if self._grammars.list_end[token] and not self._inside:
            self._reply, self._value, self._close_list = [], 0, False
        self._close_value = self._close_value or loops(self._reply[self._value :])
        self._close_list = self._close_list or loops(self._reply, _LIST_LOOP)
        return bool(self._matcher.is_stopped())

    def allow(self, out: NDArray[np.int32], row: int) -> None:
        """Write the bits of the tokens that may come next into `out[row]`."""
        from llguidance.numpy import fill_next_token_bitmask

        fill_next_token_bitmask(self._matcher, out, row)
        if not (self._close_value or self._close_list):
            return
        grammars = self._grammars
        allowed = _bits(out[row : row + 1], grammars.vocabulary)[0]
        if self._inside and self._close_value:
            allowed = _first(allowed & grammars.quote, allowed)
        elif self._inside:
            allowed = _first(allowed & ~grammars.next_entry, allowed)
        elif self._close_list:
            allowed = _first(allowed & grammars.list_end, allowed)
        else:
            allowed = _first(allowed & grammars.bracket, allowed & grammars.comma, allowed)
        bits = np.zeros(out.shape[1] * 4, dtype=np.uint8)
        packed = np.packbits(allowed, bitorder="little")
        bits[: len(packed)] = packed
        out[row] = bits.view(np.int32)

    def _reads_quote(self, mark: str) -> bool:
        """Follow one character of the JSON; return whether it begins or ends a string."""
        escaped, self._escaped = self._escaped, self._inside and mark == "\\" and not self._escaped
        if mark != '"' or escaped:
            return False
        self._inside = not self._inside
        return True


def masked(scores: torch.Tensor, matchers: Sequence[Matcher | None]) -> torch.Tensor:
    """Return `scores` with -inf for what the matcher of a row does not allow; None leaves the row as it is."""
    width = scores.shape[-1]
    bits = np.full((len(matchers), -(-max(width, _width(matchers)) // 32)), -1, dtype=np.int32)
    for row, matcher in enumerate(matchers):
        if matcher is not None:
            matcher.allow(bits, row)
    allowed = torch.from_numpy(_bits(bits, width)).to(scores.device)
    return scores.masked_fill(~allowed, -torch.inf)


def _width(matchers: Sequence[Matcher | None]) -> int:
    return max((matcher._grammars.vocabulary for matcher in matchers if matcher is not None), default=0)


def _bits(packed: NDArray[np.int32], width: int) -> NDArray[np.bool_]:
    return np.unpackbits(packed.view(np.uint8), axis=1, count=width, bitorder="little").astype(bool)


def _first(*sets: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the first of `sets` that is not empty, else the last."""
    return next((tokens for tokens in sets if tokens.any()), sets[-1])


def _closed(schema: Any) -> Any:
    """Return a JSON schema whose objects have no keys but those it names, unless it allows others by name.

    pydantic ignores unknown keys; a small model, once it may, writes nothing else.
    """
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if closed.get("type") == "object" and isinstance(closed.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed
