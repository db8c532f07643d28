"""Files as bytes and as text, under the caps of a `LoadingConfig`; every refusal is a LoadError that names the path."""

from __future__ import annotations

import stat
from pathlib import Path

from ragkit.config import LoadingConfig
from ragkit.errors import LoadError
from ragkit.loaders.decoding import Decoded, decode


def refusal(path: Path, reason: str, hint: str = "") -> LoadError:
    """Return the LoadError that says `path: reason.`; `reason` is a clause without a final full stop."""
    return LoadError(f"{source_of(path)}: {reason}.", hint=hint)


def source_of(path: Path) -> str:
    """Return the absolute path without links as text; undecodable bytes of a name appear as escapes."""
    return str(path.resolve()).encode("utf-8", "backslashreplace").decode("utf-8")


def checked_size(path: Path, caps: LoadingConfig) -> int:
    """Return the size of a regular, non-empty file within the caps, before anything opens it.

    Raises LoadError for a missing, special, empty or too large file, and for a name that is not valid UTF-8.
    """
    try:
        str(path).encode("utf-8")
        status = path.stat()
    except UnicodeEncodeError:
        raise refusal(path, "the file name is not valid UTF-8", hint="Rename the file.") from None
    except (OSError, ValueError) as error:
        raise refusal(path, getattr(error, "strerror", None) or str(error)) from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
        raise refusal(path, f"it is {kind}, not a regular file")
    if status.st_size == 0:
        raise refusal(path, "the file is empty (0 bytes)")
    if status.st_size > caps.max_file_bytes:
        raise refusal(
            path,
            f"it has {status.st_size:,} bytes, more than the {caps.max_file_bytes:,} allowed",
            hint="Raise loading.max_file_bytes, or split the file.",
        )
    return status.st_size


def read_bytes(path: Path, caps: LoadingConfig) -> bytes:
    """Return the content of `path`; at most `max_file_bytes` are read even if the file grows meanwhile."""
    checked_size(path, caps)
    try:
        with path.open("rb") as file:
            return file.read(caps.max_file_bytes)
    except OSError as error:
        raise refusal(path, f"cannot be opened: {error.strerror}", hint="Check its permissions.") from error


def read_text(path: Path, caps: LoadingConfig, declared: str | None = None) -> Decoded:
    """Return the decoded content of `path`: verbatim but for a byte order mark."""
    decoded = decoded_or_refused(path, read_bytes(path, caps), declared)
    check_length(path, len(decoded.text), caps)
    return decoded


def decoded_or_refused(path: Path, data: bytes, declared: str | None = None) -> Decoded:
    """Return `data` as text; raise LoadError naming `path` where it looks binary or has no recognised encoding."""
    try:
        decoded = decode(data, declared)
    except ValueError as error:
        raise refusal(path, str(error)) from None
    if not decoded.text or decoded.text.isspace():
        raise refusal(path, "it holds no text, only white space")
    return decoded


def check_length(path: Path, characters: int, caps: LoadingConfig) -> None:
    """Raise LoadError if a text of so many characters exceeds the cap."""
    if characters > caps.max_text_characters:
        raise refusal(
            path,
            f"its text has more than the {caps.max_text_characters:,} characters allowed",
            hint="Raise loading.max_text_characters, or split the file.",
        )
