"""Making a new, empty index: generation 0 of a folder."""

from __future__ import annotations

from pathlib import Path

from ragkit.errors import StorageError
from ragkit.index.durable import storage_errors
from ragkit.index.header import IndexHeader
from ragkit.index.ledger import LEDGER_NAME, create_ledger
from ragkit.index.lock import writer_lock


def index_exists(folder: Path) -> bool:
    """Return whether `folder` holds an index."""
    return (folder / LEDGER_NAME).is_file()


def create_index(folder: Path, header: IndexHeader) -> None:
    """Create an empty index at generation 0 in `folder`, unless another process just did.

    Raises StorageError if the folder holds other files, so that an index never mixes with a user's data.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with writer_lock(folder):
            if index_exists(folder):
                return
            own = {"writer.lock", "writer.json"}
            others = [path.name for path in folder.iterdir() if path.name not in own and LEDGER_NAME not in path.name]
            if others:
                raise StorageError(
                    f"{folder} is not empty (it holds {sorted(others)[0]!r}) and holds no index.",
                    hint="Name an empty or new folder with --index.",
                )
            create_ledger(
                folder,
                {"generation": "0", "header": header.to_json(), "postings": "", "documents": "0", "chunks": "0"},
            )
