"""JSON Lines, plain or gzip: each record is a document; a bad line costs that line only."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ragkit.config import LoadingConfig
from ragkit.errors import ContractError, LoadError
from ragkit.loaders.failure import Failure
from ragkit.loaders.files import checked_size, refusal, source_of
from ragkit.loaders.metadata import scalars
from ragkit.schema import Document

_MAX_REPORTED = 100
# Small files compress well by nature; the ratio is asked only beyond this many bytes.
_FREE_BYTES = 2**20


class JsonlLoader:
    """Reads records with a text field; their id field names the document, other scalar fields are its metadata.

    The scalars of a nested object `meta` are metadata too. Duplicate ids are found with the ids of the file in memory,
    about 100 bytes each.
    """

    suffixes = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
    in_process = True
    """Records are streamed, and expansion is capped while it happens, so it needs no worker process."""

    def __init__(self, caps: LoadingConfig) -> None:
        self._caps = caps

    def load(self, path: Path) -> Iterator[Document]:
        """Yield the document of every good line, then raise LoadError if there were bad ones."""
        failures: list[Failure] = []
        for item in self.load_partly(path):
            if isinstance(item, Failure):
                failures.append(item)
            else:
                yield item
        if failures:
            more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            raise LoadError(f"{failures[0].source}: {failures[0].reason}{more}", hint="The other lines were read.")

    def load_partly(self, path: Path) -> Iterator[Document | Failure]:
        """Yield the document of every good line and a failure for each of the first hundred bad ones."""
        source = source_of(path)
        bad = 0
        seen: set[str] = set()
        for number, line in self._lines(path):
            try:
                document = self._document(line, source)
                if document.doc_id in seen:
                    raise ValueError(f"the id {document.doc_id!r} was given before; expected one record for each id")
            except (ValueError, RecursionError, ContractError) as error:
                bad += 1
                if bad <= _MAX_REPORTED:
                    yield Failure(source, f"line {number}: {_clause(error)}.")
                continue
            seen.add(document.doc_id)
            yield document
        if bad > _MAX_REPORTED:
            yield Failure(source, f"{bad - _MAX_REPORTED:,} more bad lines.")
        if not seen and not bad:
            raise refusal(path, "it holds no records, only white space")

    def _lines(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """Yield (number, bytes) of each line that is not blank; raise LoadError for damage and for a bomb."""
        size = checked_size(path, self._caps)
        packed = path.name.lower().endswith(".gz")
        room = max(_FREE_BYTES, size * self._caps.max_expansion) if packed else self._caps.max_file_bytes
        number = 0
        try:
            with gzip.open(path, "rb") if packed else path.open("rb") as file:
                while line := _line(file, int(room)):
                    number += 1
                    room -= len(line)
                    if room < 0 or len(line) > self._caps.max_file_bytes:
                        raise refusal(
                            path,
                            f"it expands to more than {self._caps.max_expansion:g} times its {size:,} bytes",
                            hint="Raise loading.max_expansion if you trust it.",
                        )
                    if not line.isspace():
                        yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise refusal(path, f"the gzip data is damaged after line {number}: {error}") from error
        except OSError as error:
            raise refusal(path, f"cannot be read: {error.strerror or error}") from error

    def _document(self, line: bytes, source: str) -> Document:
        """Return the record of `line`; raise ValueError, its text a clause, for a bad one."""
        caps = self._caps
        record = _parsed(line)
        text = record.get(caps.text_field)
        if not isinstance(text, str) or not text:
            fields = ", ".join(f"{key!r:.60} ({type(value).__name__})" for key, value in list(record.items())[:20])
            raise ValueError(
                f"found the fields {fields or 'none'}; expected a text in {caps.text_field!r} (loading.text_field)"
            )
        if len(text) > caps.max_text_characters:
            raise ValueError(f"its text has more than the {caps.max_text_characters:,} characters allowed")
        given = record.pop(caps.id_field, None)
        if isinstance(given, bool) or not isinstance(given, (str, int, type(None))):
            raise ValueError(f"the id in {caps.id_field!r} is {given!r}; expected text or a whole number")
        doc_id = "" if given is None else str(given)
        doc_id.encode("utf-8")
        meta = record.pop("meta", None)
        del record[caps.text_field]
        metadata = {**(scalars(meta) if isinstance(meta, dict) else {}), **scalars(record)}
        return Document(text, source, doc_id=doc_id, metadata=metadata)


def _line(file: IO[bytes] | gzip.GzipFile, room: int) -> bytes:
    return file.readline(room + 1)


def _parsed(line: bytes) -> dict[Any, Any]:
    record = json.loads(line.decode("utf-8"))
    if not isinstance(record, dict):
        raise ValueError(f"found a JSON {type(record).__name__}; expected an object")
    return record


def _clause(error: Exception) -> str:
    """Return what is wrong with a line, without a final full stop."""
    match error:
        case json.JSONDecodeError():
            return f"not JSON ({error.msg} at column {error.colno}); expected one object per line"
        case UnicodeDecodeError():
            return f"byte {error.start} is not valid UTF-8"
        case UnicodeEncodeError():
            return "its id holds a lone surrogate, which is not valid Unicode"
        case ContractError():
            return "its text holds a lone surrogate, which is not valid Unicode"
        case RecursionError():
            return "its values are nested too deeply"
        case _:
            return str(error)
