"""A small index to work on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ragkit.index.create import create_index
from ragkit.index.writer import Committed, IndexWriter
from ragkit.schema import Document
from tests.index.small import cut, embed, header


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "index"
    create_index(path, header())
    return path


@pytest.fixture
def put(folder: Path) -> Callable[..., Committed]:
    """Return a function that commits documents {source: text}; None removes the source."""

    def write(texts: dict[str, str | None]) -> Committed:
        with IndexWriter(folder) as writer:
            for source, text in texts.items():
                writer.remove_source(source)
                if text is not None:
                    batch = [cut(Document(text, source, metadata={"letters": len(text)}))]
                    writer.add(batch, embed(batch))
            return writer.commit()

    return write
