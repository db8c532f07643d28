"""A check of ZIP containers before anything inside is decompressed."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ragkit.config import LoadingConfig
from ragkit.loaders.files import checked_size, refusal

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
