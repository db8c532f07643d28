"""Binary formats by their first bytes, so that a refusal can say what was found."""

from __future__ import annotations

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF-", "PDF"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Microsoft Office or password-protected Office"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG image"),
    (0, b"GIF8", "GIF image"),
    (0, b"\xff\xd8\xff", "JPEG image"),
    (0, b"II*\x00", "TIFF image"),
    (0, b"MM\x00*", "TIFF image"),
    (8, b"WEBP", "WebP image"),
    (8, b"WAVE", "WAV audio"),
    (0, b"ID3", "MP3 audio"),
    (0, b"OggS", "Ogg media"),
    (0, b"fLaC", "FLAC audio"),
    (4, b"ftyp", "MPEG-4 media"),
    (0, b"\x1aE\xdf\xa3", "Matroska video"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"(\xb5/\xfd", "Zstandard"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (0, b"Rar!\x1a\x07", "RAR"),
    (0, b"\x7fELF", "ELF program"),
    (0, b"\xca\xfe\xba\xbe", "Java class"),
    (0, b"\x00asm", "WebAssembly"),
    (0, b"SQLite format 3\x00", "SQLite database"),
    (0, b"PAR1", "Parquet"),
    (0, b"{\\rtf", "RTF"),
    (0, b"%!PS", "PostScript"),
    (0, b"wOFF", "font"),
    (0, b"wOF2", "font"),
    (0, b"\x93NUMPY", "NumPy"),
)
# What the first member names of a ZIP container, or its `mimetype` member, give away.
_ZIP_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"application/epub+zip", "EPUB"),
    (b"application/vnd.oasis.opendocument", "OpenDocument"),
    (b"word/", "DOCX"),
    (b"ppt/", "PPTX"),
    (b"xl/", "XLSX"),
)


def format_of(head: bytes) -> str | None:
    """Return the binary format that starts with `head` (some kilobytes), or None if it is none of the known ones.

    >>> format_of(b"%PDF-1.7"), format_of(b"Dear all,")
    ('PDF', None)
    """
    if head.startswith(b"PK\x03\x04"):
        return next((name for mark, name in _ZIP_KINDS if mark in head), "ZIP")
    for offset, magic, name in _MAGIC:
        # A four-letter word at byte 8 of a plain text is no RIFF container.
        if head[offset : offset + len(magic)] == magic and (offset != 8 or head.startswith(b"RIFF")):
            return name
    return None
