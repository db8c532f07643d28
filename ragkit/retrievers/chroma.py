"""A ChromaDB collection as a projection of the index: embedded in the index folder, or on a server.

The collection is stamped with the index and its generation. While it is being changed the stamp is taken off, and a
search reads the stamp after the answer: an answer from any other state is thrown away and the segments are scanned
instead, so Chroma can be slow or broken but results are never stale or partial.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ragkit.errors import ConfigError, IndexMismatchError, MissingExtraError, ServerError, StorageError
from ragkit.index.snapshot import Snapshot
from ragkit.protocols import Rows, Vectors
from ragkit.retrievers.scan import ExactScan
from ragkit.retrievers.store import Found

_INDEX, _GENERATION = "ragkit_index", "ragkit_generation"
_CHANGING = -1
_SIGHT = 100
"""Hits fetched at least: the ef_search of Chroma's graph, so that the best 5 are the first of the best 10."""
_MOST_HITS = 1000
_IDS_AT_ONCE = 2000


class ChromaStore:
    """Searches a Chroma collection; searches with a filter scan the index's own segments.

    A filter as a list of ids costs Chroma 6 to 11 ms at 20,000 vectors, an exact scan of any part of them 1 ms.

    Args:
        snapshot: The generation that is searched.
        url: A Chroma server, "http://localhost:8000"; None keeps the collection in the index folder.
        collection: Its name; by default one made from the index's identity.

    Raises MissingExtraError where chromadb is not installed.
    """

    def __init__(self, snapshot: Snapshot, *, url: str | None = None, collection: str | None = None) -> None:
        if importlib.util.find_spec("chromadb") is None:
            raise MissingExtraError(
                "The store 'chroma' needs the package 'chromadb', which is not installed.",
                hint="Install it with: pip install 'ragkit[chroma]'.",
            )
        self._address = _address(url)
        self._snapshot = snapshot
        self._name = collection or f"ragkit-{snapshot.header.index_id}"
        self._scan = ExactScan(snapshot)
        self._folder = snapshot.folder / "projections" / "chroma"
        self._connected: Any = None

    def search(self, queries: Vectors, k: int, rows: Rows | None = None) -> list[Found]:
        """Return for each query its best rows (see `Store.search`); Chroma's graph may miss some of the best."""
        if rows is not None or not 0 < k <= _MOST_HITS or not self._snapshot.size:
            return self._scan.search(queries, k, rows)
        try:
            found = self._search_collection(queries, k)
            reason = "it does not show this generation of the index completely"
        except Exception as error:
            found, reason = None, f"{type(error).__name__}: {error}"
        if found is None:
            warnings.warn(
                f"Searching exactly, without the Chroma collection {self._name!r}: {reason}. "
                "Run `ragkit index` again to bring it up to date.",
                stacklevel=2,
            )
            return self._scan.search(queries, k)
        return found

    def generation(self) -> int | None:
        """Return the generation that the collection shows, or None if it cannot be read or shows none."""
        try:
            collection = self._collection()
            return None if collection is None else self._stamp(collection)
        except Exception:
            return None

    def sync(self, snapshot: Snapshot, previous_generation: int, added: Rows, removed: Rows) -> None:
        """Bring the collection to `snapshot` (see `Store.sync`).

        Raises IndexMismatchError if the collection is not this index's, ServerError or StorageError if Chroma fails;
        the index itself stays committed.
        """
        try:
            self._sync(snapshot, previous_generation, added, removed)
        except IndexMismatchError:
            raise
        except Exception as error:
            kind, place, cure = (
                (ServerError, f"The Chroma server {self._address[0]}", "See that the server runs")
                if self._address
                else (StorageError, f"The Chroma database {self._folder}", "Remove that folder if it is damaged")
            )
            raise kind(
                f"{place} was not brought up to date: {type(error).__name__}: {error}.",
                hint=f"The index is committed and searched exactly meanwhile. {cure}, and run the command again.",
            ) from error

    def _search_collection(self, queries: Vectors, k: int) -> list[Found] | None:
        """Return what Chroma finds, or None where it does not show the snapshot's generation."""
        collection = self._collection()
        if collection is None:
            return None
        size = self._snapshot.size
        answer = collection.query(query_embeddings=queries, n_results=min(max(k, _SIGHT), size), include=[])
        found = [
            self._scan.rescored(np.array(list(map(int, ids)), np.int64), query, k)
            for ids, query in zip(answer["ids"], queries, strict=True)
        ]
        # Read after the answer: a writer takes the stamp off before it changes anything.
        after = self._collection()
        current = after is not None and self._stamp(after) == self._snapshot.generation
        return found if current and all(len(rows) >= min(k, size) for rows, _ in found) else None

    def _sync(self, snapshot: Snapshot, previous_generation: int, added: Rows, removed: Rows) -> None:
        client = self._client(create=True)
        collection = client.get_or_create_collection(
            self._name,
            embedding_function=None,
            configuration={"hnsw": {"space": "ip"}},
            metadata={_INDEX: snapshot.header.index_id, _GENERATION: _CHANGING},
        )
        shown = self._stamp(collection)
        if shown == snapshot.generation and collection.count() == snapshot.size:
            return
        self._put_stamp(collection, _CHANGING)
        if shown == previous_generation:
            self._delete(collection, _ids(removed))
            self._add(collection, snapshot, added)
        if shown != previous_generation or collection.count() != snapshot.size:
            held, live = _held(collection), snapshot.live_rows()
            self._delete(collection, sorted(held.difference(_ids(live))))
            self._add(collection, snapshot, live[[row not in held for row in _ids(live)]])
        self._put_stamp(collection, snapshot.generation)

    def _delete(self, collection: Any, ids: Sequence[str]) -> None:
        for at in range(0, len(ids), _IDS_AT_ONCE):
            collection.delete(ids=list(ids[at : at + _IDS_AT_ONCE]))

    def _add(self, collection: Any, snapshot: Snapshot, rows: Rows) -> None:
        for at in range(0, len(rows), _IDS_AT_ONCE):
            some = rows[at : at + _IDS_AT_ONCE]
            collection.upsert(ids=_ids(some), embeddings=snapshot.vectors(some.tolist()))

    def _put_stamp(self, collection: Any, generation: int) -> None:
        collection.modify(metadata={_INDEX: self._snapshot.header.index_id, _GENERATION: generation})

    def _stamp(self, collection: Any) -> int | None:
        """Return the generation in the stamp, None while it is being changed; refuse another index's collection."""
        stamp = collection.metadata or {}
        if stamp.get(_INDEX) != self._snapshot.header.index_id:
            raise IndexMismatchError(
                f"The Chroma collection {self._name!r} belongs to something else than this index.",
                hint="Give the store another `collection` name.",
            )
        return None if stamp.get(_GENERATION) == _CHANGING else stamp.get(_GENERATION)

    def _collection(self) -> Any | None:
        """Return the collection with its present metadata, or None if there is none."""
        from chromadb.errors import NotFoundError

        client = self._client(create=False)
        try:
            return None if client is None else client.get_collection(self._name, embedding_function=None)
        except NotFoundError:
            return None

    def _client(self, *, create: bool) -> Any:
        """Return the client or None; a reader (`create` false) makes no database where there is none."""
        if self._connected is None:
            import chromadb

            settings = chromadb.config.Settings(anonymized_telemetry=False)
            if self._address:
                _, host, port, ssl = self._address
                self._connected = chromadb.HttpClient(host=host, port=port, ssl=ssl, settings=settings)
            elif create or self._folder.is_dir():
                self._folder.mkdir(parents=True, exist_ok=True)
                self._connected = chromadb.PersistentClient(str(self._folder), settings=settings)
        return self._connected


def _address(url: str | None) -> tuple[str, str, int, bool] | None:
    """Return (url, host, port, TLS), or None for an embedded collection."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 8000)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"The option 'url' of the store 'chroma' is {url!r}.", hint="Give it like http://localhost:8000."
        )
    return url, parts.hostname, port, parts.scheme == "https"


def _held(collection: Any) -> set[str]:
    """Return the ids that the collection holds."""
    held: set[str] = set()
    offset = 0
    while ids := collection.get(include=[], limit=_IDS_AT_ONCE, offset=offset)["ids"]:
        held.update(ids)
        offset += len(ids)
    return held


def _ids(rows: Rows) -> list[str]:
    return [str(row) for row in rows.tolist()]
