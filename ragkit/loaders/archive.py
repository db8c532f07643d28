"""ZIP containers: checked before anything inside is decompressed, and their XML parsed without entities."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

from ragkit.config import LoadingConfig
from ragkit.loaders.files import checked_size, refusal

PACKAGE_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, OSError, EOFError),
    *(KeyError, ValueError, TypeError, AttributeError, IndexError, SyntaxError),
)
"""What zipfile, lxml (its errors are SyntaxErrors) and python-docx raise on damage, seen on thousands of mutations."""

_MAX_MEMBERS = 10_000
# Small documents compress well by nature; the ratio is asked only beyond this many bytes.
_FREE_BYTES = 2**20


def check_archive(path: Path, caps: LoadingConfig, what: str) -> None:
    """Raise LoadError if `path` is no ZIP container or would expand beyond the caps.

    The sizes that the directory declares are an upper bound: `zipfile` stops a member at its declared size and then
    finds that its checksum is wrong.
    """
    size = checked_size(path, caps)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise refusal(path, f"it is damaged or no {what} file ({error})") from None
    if len(members) > _MAX_MEMBERS:
        raise refusal(path, f"it holds {len(members):,} members, more than the {_MAX_MEMBERS:,} allowed")
    expanded = sum(member.file_size for member in members)
    if expanded > max(_FREE_BYTES, size * caps.max_expansion):
        raise refusal(
            path,
            f"its {size:,} bytes would expand to {expanded:,}, more than {caps.max_expansion:g} times as many",
            hint="Raise loading.max_expansion if you trust it.",
        )


def parsed_xml(data: bytes) -> Any:
    """Return the root of an XML document; no entity is resolved, no DTD loaded, nothing fetched."""
    from lxml import etree

    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True))
