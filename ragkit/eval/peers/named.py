"""The peers by name, and the imports of their packages."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from ragkit.errors import ConfigError, MissingExtraError, UnknownPartError
from ragkit.eval.peers.chunker import Cut, PeerChunker
from ragkit.models.tokenizer import HfTokenizer
from ragkit.plugins import suggestion


class Peer(NamedTuple):
    """Where a peer's adapter is, and which package it needs."""

    module: str
    function: str
    package: str


_HERE = "ragkit.eval.peers"

PEERS: Mapping[str, Peer] = {
    "chonkie_token": Peer(f"{_HERE}.chonkie", "token", "chonkie"),
    "chonkie_sentence": Peer(f"{_HERE}.chonkie", "sentence", "chonkie"),
    "chonkie_recursive": Peer(f"{_HERE}.chonkie", "recursive", "chonkie"),
    "langchain_token": Peer(f"{_HERE}.langchain", "token", "langchain-text-splitters"),
    "langchain_recursive": Peer(f"{_HERE}.langchain", "recursive", "langchain-text-splitters"),
    "semchunk": Peer(f"{_HERE}.semchunk", "semantic", "semchunk"),
}


def peer(name: str, tokenizer: HfTokenizer, size: int = 200, overlap: int = 0) -> PeerChunker:
    """Return the chunker `name` of another library, with everything but size and overlap at that library's defaults.

    Raises UnknownPartError with the nearest name, MissingExtraError naming the extra `bench`, and ConfigError for an
    overlap not below the size.
    """
    found = PEERS.get(name)
    if found is None:
        raise UnknownPartError(
            f"There is no peer named {name!r}.",
            hint=f"{suggestion(name, list(PEERS))} Available: {', '.join(PEERS)}.".lstrip(),
        )
    if not 0 <= overlap < size:
        raise ConfigError(
            f"The size is {size} and the overlap {overlap} tokens; expected 0 <= overlap < size.",
            hint="Correct the values.",
        )
    module = importlib.import_module(found.module)
    cut: Cut = getattr(module, found.function)(_package(name, found), tokenizer, size, overlap)
    return PeerChunker(name, found.package, cut, tokenizer, size=size, overlap=overlap)


def _package(name: str, found: Peer) -> Any:
    try:
        return importlib.import_module(found.package.replace("-", "_"))
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"The peer {name!r} needs the package {found.package!r}, which is not installed.",
            hint="Install the peers with: pip install 'ragkit[bench]'.",
        ) from error
