"""What several loader tests need: small hand-made PDFs, and a loader of a third-party package."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ragkit import plugins
from ragkit.loaders import reading


def _minimal_pdf(pages: list[bytes], extra: bytes = b"") -> bytes:
    """Return a PDF whose page n shows what the content stream `pages[n]` draws; font F1 is Helvetica."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for number, content in enumerate(pages):
        page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents {5 + 2 * number} 0 R"
        objects.append(f"{page}/Resources<</Font<</F1 3 0 R>>>>>>".encode())
        objects.append(f"<</Length {len(content)}".encode() + extra + b">>stream\n" + content + b"\nendstream")
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj".encode() + content + b"endobj\n"
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    table += b"".join(f"{offset:010} 00000 n \n".encode() for offset in offsets)
    trailer = f"trailer<</Root 1 0 R/Size {len(objects) + 1}>>\nstartxref\n{len(body)}\n%%EOF".encode()
    return body + table + trailer


@pytest.fixture
def make_pdf() -> Callable[..., bytes]:
    """Return a function (content streams of the pages, further stream keys) -> bytes of a PDF."""
    return _minimal_pdf


@pytest.fixture
def install_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return a function that installs a third-party loader `foreign` with this body of `load(self, path)`."""
    site = tmp_path / "site"

    def install(body: str, attributes: str = "") -> None:
        info = site / "foreign-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[ragkit.loaders]\nforeign = foreign_loader:ForeignLoader\n")
        lines = "\n".join(f"        {line}" for line in body.splitlines())
        (site / "foreign_loader.py").write_text(
            "import ctypes, os, time\nfrom ragkit.schema import Document\n\n"
            f"class ForeignLoader:\n    suffixes = ('.foreign', '.pdf')\n    {attributes}\n\n"
            f"    def load(self, path):\n{lines}\n"
        )
        monkeypatch.syspath_prepend(str(site))
        forget()

    def forget() -> None:
        plugins._offered.cache_clear()
        reading._loaders_of.cache_clear()
        reading._POOL.close()

    yield install
    sys.modules.pop("foreign_loader", None)
    monkeypatch.undo()
    forget()


@pytest.fixture
def not_root() -> None:
    """Skip where permissions do not bind this user."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        pytest.skip("runs as root, whom permissions do not stop")
