"""What to do with a file, decided by its name alone where possible: read it, skip it, or refuse it with a reason."""

from __future__ import annotations

from pathlib import Path

# Never documents: met inside a folder they are skipped and counted; named on the command line they are refused.
_NOT_DOCUMENTS = {
    "an image": "png jpg jpeg jpe gif bmp tif tiff webp ico heic heif avif jxl svg svgz psd xcf ai raw cr2 nef dng tga",
    "audio": "mp3 wav flac ogg oga opus m4a aac wma aiff mid midi",
    "video": "mp4 m4v mkv mov avi wmv flv webm mpg mpeg 3gp",
    "an archive": "zip tar gz tgz bz2 xz zst lz4 7z rar jar war whl egg deb rpm apk cab iso dmg img",
    "a program or its parts": "o obj a lib so dylib dll exe com bin class pyc pyo pyd wasm elc beam node nupkg",
    "a font": "ttf otf woff woff2 eot",
    "a database": "db sqlite sqlite3 mdb accdb frm myd myi ldb wal shm",
    "numbers or a model": "npy npz pt pth onnx safetensors gguf ggml h5 hdf5 pkl pickle joblib parquet feather arrow "
    "orc avro mat rds rdata tfrecord ckpt pb tflite mlmodel",
    "a key or a certificate": "der p12 pfx jks gpg",
    "a temporary file": "tmp swp swo bak lock pid crdownload part",
    "a source map": "map",
}
# Documents that are not read: refused wherever they are met, so that nobody believes they were indexed.
_UNREAD = {
    "old Word": ("doc dot", "save it as .docx"),
    "old PowerPoint": ("ppt pps", "save it as .pptx"),
    "Excel": ("xls xlsx xlsm xlsb", "export its sheets to CSV"),
    "OpenDocument": ("odt ods odp ott fodt", "save it as .docx or PDF"),
    "RTF": ("rtf", "save it as .docx or text"),
    "e-book": ("mobi azw azw3 fb2 lit chm", "convert it to HTML, PDF or text"),
    "PostScript": ("ps eps", "convert it to PDF"),
    "DjVu": ("djvu djv", "convert it to PDF with a text layer"),
    "e-mail": ("msg mbox pst", "save the message as text or HTML"),
    "Apple iWork": ("pages numbers key", "export it to PDF"),
    "XML": ("xml nxml xsd xsl rdf", "convert it to HTML or text"),
    "notebook": ("ipynb", "convert it with: jupyter nbconvert --to markdown"),
    "web archive": ("mht mhtml webarchive warc", "save the page as HTML"),
    "Visio": ("vsd vsdx", "export it to PDF"),
}
# Empty by convention, or written by machines for machines.
_MARKERS = frozenset(("py.typed", "package-lock.json", "thumbs.db", "desktop.ini"))

SKIPPED: dict[str, str] = {f".{name}": kind for kind, names in _NOT_DOCUMENTS.items() for name in names.split()}
REFUSED: dict[str, tuple[str, str]] = {
    f".{name}": (format_name, advice) for format_name, (names, advice) in _UNREAD.items() for name in names.split()
}


def endings(path: Path) -> list[str]:
    """Return the lower-case endings of a file name, longest first.

    >>> endings(Path("Notes.v2.JSONL.gz"))
    ['.v2.jsonl.gz', '.jsonl.gz', '.gz']
    """
    parts = [suffix.lower() for suffix in path.suffixes]
    return ["".join(parts[first:]) for first in range(len(parts))]


def is_skipped(name: str, size: int) -> bool:
    """Return whether a file met inside a folder is no document: a picture, a program, an empty `__init__.py`, ..."""
    lower = name.lower()
    if lower in _MARKERS or (size == 0 and lower == "__init__.py"):
        return True
    return f".{lower.rpartition('.')[2]}" in SKIPPED and not lower.endswith((".jsonl.gz", ".ndjson.gz"))


def refusal_reason(path: Path) -> tuple[str, str] | None:
    """Return (reason, hint) if files named like `path` are never read, else None."""
    suffix = path.suffix.lower()
    if suffix in REFUSED:
        format_name, advice = REFUSED[suffix]
        return f"{format_name} ({suffix}) is not supported", f"Please {advice}."
    if suffix in SKIPPED:
        return f"{suffix} is {SKIPPED[suffix]}, not a document with text", ""
    return None
