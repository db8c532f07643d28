"""A tokenizer as other libraries take one (text to ids and back) that gives back the text to the letter.

Token chunkers decode windows of tokens, and most tokenizers lose something on the way: MiniLM's lower-cases. Here a
token's text is what the document holds from its start to the start of the next token, so that the library cuts the same
windows of the same tokens, and its pieces are verbatim.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ragkit.protocols import Tokenizer


class VerbatimTokenizer:
    """Counts as `tokenizer` does; ids name texts of tokens, in a vocabulary that grows as texts are read."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: dict[str, int] = {}
        self._texts: list[str] = []

    def tokenize(self, text: str) -> list[str]:
        """Return the text of each token; together they are `text`, unless it has no token."""
        starts: list[int] = self._tokenizer.offsets([text])[0][:, 0].tolist()
        edges = [0, *starts[1:], len(text)]
        return [text[start:end] for start, end in pairwise(edges)] if starts else []

    def encode(self, text: str) -> list[int]:
        """Return the id of each token."""
        return [self._id(piece) for piece in self.tokenize(text)]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of the tokens."""
        return "".join(self._texts[token] for token in tokens)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text."""
        return [self.encode(text) for text in texts]

    def decode_batch(self, token_sequences: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each sequence of tokens."""
        return [self.decode(tokens) for tokens in token_sequences]

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of `text`."""
        return self._tokenizer.count([text])[0]

    def count_tokens_batch(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return self._tokenizer.count(texts)

    def _id(self, piece: str) -> int:
        found = self._ids.setdefault(piece, len(self._texts))
        if found == len(self._texts):
            self._texts.append(piece)
        return found
