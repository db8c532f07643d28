"""Texts to token ids and places, in groups, one group ahead of the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import ModelError

GROUP_CHARACTERS = 1 << 19
"""Characters tokenised at once: enough for all cores of a host, few enough to bound memory (150 bytes a character)."""


@dataclass(frozen=True, slots=True)
class Tokenised:
    """One text with its context: `ids` of context and text, `given` of them context; `spans` of the text's tokens."""

    index: int
    ids: NDArray[np.int32]
    given: int
    spans: NDArray[np.int64]


class ScoringTokenizer:
    """Tokenises whole texts once, without special tokens; nothing is cut off.

    Spans are in code points. A character of several tokens (bytes of a byte-level vocabulary) gives each of them its
    own place, so spans may be equal or overlap; they never go back.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Take the library's fast tokenizer; raise ModelError for one that does not know its tokens' places."""
        from tokenizers import Tokenizer

        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(
                "The model's tokenizer does not say where its tokens lie in a text.",
                hint="Name a model with a 'fast' tokenizer (a tokenizer.json).",
            )
        self._bare = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._bare.no_truncation()
        self._bare.no_padding()

    def groups(self, texts: Sequence[str], contexts: Sequence[str]) -> Iterator[list[Tokenised]]:
        """Yield all texts in order, in groups of at most about GROUP_CHARACTERS, each tokenised one group ahead."""
        bounds = _bounds([len(text) + len(context) for text, context in zip(texts, contexts, strict=True)])
        with ThreadPoolExecutor(1, thread_name_prefix="tokenise") as thread:
            waiting: deque[tuple[int, Future[list[Any]], Future[list[Any]]]] = deque()
            for begin, end in bounds:
                own, before = (thread.submit(self._encode, part[begin:end]) for part in (texts, contexts))
                waiting.append((begin, own, before))
                if len(waiting) > 1:
                    yield self._converted(*waiting.popleft())
            for group in waiting:
                yield self._converted(*group)

    def _converted(self, begin: int, own: Future[list[Any]], before: Future[list[Any]]) -> list[Tokenised]:
        """Return a group as arrays.

        This holds the interpreter, so it is done by the consumer, while a GPU has a batch to work on, and not by the
        thread, which would keep the consumer from sending the next one.
        """
        found = []
        for at, (text, context) in enumerate(zip(own.result(), before.result(), strict=True)):
            flat = chain.from_iterable(text.offsets)
            spans = np.fromiter(flat, np.int64, 2 * len(text)).reshape(-1, 2)
            ids = np.array(context.ids + text.ids, dtype=np.int32)
            found.append(Tokenised(begin + at, ids, len(context), spans))
        return found

    def _encode(self, texts: Sequence[str]) -> list[Any]:
        try:
            encodings: list[Any] = self._bare.encode_batch(list(texts), add_special_tokens=False)
        except Exception as error:  # the package raises bare Exception, TypeError for half a surrogate pair
            raise ModelError(
                f"A text cannot be tokenised: {error}.", hint="Decode it as UTF-8 with errors='replace' first."
            ) from error
        return encodings


def _bounds(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the groups' half-open index ranges; the first groups are small, so that the model starts at once.

    >>> list(_bounds([10, 20, GROUP_CHARACTERS, 5]))
    [(0, 2), (2, 3), (3, 4)]
    """
    cuts, held, room = [0], 0, GROUP_CHARACTERS // 4
    for index, size in enumerate(sizes):
        if held and held + size > room:
            cuts.append(index)
            held, room = 0, min(2 * room, GROUP_CHARACTERS)
        held += size
    return pairwise([*cuts, len(sizes)]) if sizes else iter(())
