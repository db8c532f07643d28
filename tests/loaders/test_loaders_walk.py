from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config import LoadingConfig
from ragkit.errors import UsageError
from ragkit.loaders.kinds import endings, is_skipped, refusal_reason
from ragkit.loaders.walk import walk

CAPS = LoadingConfig()


def grow(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def found(root: Path, *roots: Path, caps: LoadingConfig = CAPS, exclude: Path | None = None) -> list[str]:
    files = walk(roots or [root], caps, exclude=exclude).files
    return [file.path.relative_to(root).as_posix() for file in files]


def test_files_come_sorted_with_size_and_time(tmp_path: Path) -> None:
    grow(tmp_path, "b.md", "a/z.txt", "a/b/c.md", "Z.md")
    assert found(tmp_path) == ["Z.md", "b.md", "a/z.txt", "a/b/c.md"]
    first = next(walk([tmp_path], CAPS).files)
    status = (tmp_path / "Z.md").stat()
    assert (first.path, first.size, first.mtime_ns) == (tmp_path / "Z.md", 1, status.st_mtime_ns)


def test_hidden_and_generated_folders_are_left_out(tmp_path: Path) -> None:
    grow(tmp_path, "a.md", ".hidden.md", ".git/x.md", "node_modules/x.md", "s/__pycache__/x.md", ".venv/x.md", "venv/x")
    assert found(tmp_path) == ["a.md"]


def test_gitignore_rules_hold_at_any_depth_and_the_deepest_decides(tmp_path: Path) -> None:
    grow(
        tmp_path,
        "a.log",
        "keep.log",
        "build/x.md",
        "sub/build/x.md",
        "sub/a.log",
        "sub/b.tmp",
        "sub/deep/c.md",
        "top.md",
    )
    grow(tmp_path, "sub/top.md", "docs/skip/x.md")
    (tmp_path / ".gitignore").write_text("*.log\n!keep.log\nbuild/\n/top.md\n# comment\n\n")
    (tmp_path / "sub" / ".ragkitignore").write_text("*.tmp\n!a.log\ndeep\n")
    assert found(tmp_path, caps=LoadingConfig(ignore=["docs/skip"])) == ["keep.log", "sub/a.log", "sub/top.md"]


def test_a_root_that_is_a_file_is_taken_whatever_the_rules_say(tmp_path: Path) -> None:
    grow(tmp_path, ".secret.png")
    (tmp_path / ".gitignore").write_text("*\n")
    assert found(tmp_path, tmp_path / ".secret.png") == [".secret.png"]


def test_no_file_comes_twice(tmp_path: Path) -> None:
    grow(tmp_path, "a/b.md", "c.md")
    (tmp_path / "a" / "link.md").symlink_to(tmp_path / "c.md")
    assert sorted(found(tmp_path, tmp_path, tmp_path / "a", tmp_path / "c.md")) == ["a/b.md", "c.md"]


def test_links_to_folders_are_not_followed_and_broken_ones_do_no_harm(tmp_path: Path) -> None:
    grow(tmp_path, "a/b.md", "other/c.md")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "out").symlink_to(tmp_path / "other")
    (tmp_path / "a" / "gone.md").symlink_to(tmp_path / "nowhere.md")
    (tmp_path / "a" / "self").symlink_to("self")
    walked = walk([tmp_path / "a"], CAPS)
    assert [file.path.name for file in walked.files] == ["b.md"]
    assert walked.skipped == 3
    assert [failure.reason for failure in walked.failed] == ["cannot be examined: Too many levels of symbolic links"]


def test_the_index_is_not_indexed(tmp_path: Path) -> None:
    grow(tmp_path, "a.md", "index/ledger.md", "index/deep/x.md")
    assert found(tmp_path, exclude=tmp_path / "index") == ["a.md"]


def test_what_is_no_document_is_counted(tmp_path: Path) -> None:
    grow(tmp_path, "a.md", "b.PNG", "c.zip", "d.pptx", "e.jsonl.gz", "f.gz", "Makefile")
    (tmp_path / "__init__.py").touch()
    (tmp_path / "empty.md").touch()
    os.mkfifo(tmp_path / "pipe.txt")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket.txt"))
    server.close()
    walked = walk([tmp_path], CAPS)
    assert [file.path.name for file in walked.files] == ["Makefile", "a.md", "d.pptx", "e.jsonl.gz", "empty.md"]
    assert walked.skipped == 6


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere: No such file or directory\. Give files or folders"):
        walk([tmp_path, tmp_path / "nowhere"], CAPS)


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path, "a.md", "locked/b.md", "z/c.md")
    listing = os.scandir

    def refusing(folder: str) -> object:
        if folder.endswith("locked"):
            raise PermissionError(13, "Permission denied", folder)
        return listing(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    walked = walk([tmp_path], CAPS)
    assert [file.path.name for file in walked.files] == ["a.md", "c.md"]
    ((source, reason),) = [(failure.source, failure.reason) for failure in walked.failed]
    assert (source, reason) == (str(tmp_path / "locked"), "the folder cannot be listed: Permission denied")


def test_a_name_that_is_not_utf8_is_reported(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    walked = walk([tmp_path], CAPS)
    assert list(walked.files) == []
    assert walked.failed[0].source.endswith("caf\\udce9.md")
    assert walked.failed[0].reason == "the file name is not valid UTF-8"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.ODT", "OpenDocument (.odt) is not supported"),
        ("a.png", ".png is an image, not a document with text"),
        ("a.md", None),
    ],
)
def test_refusals_name_the_format(name: str, reason: str | None) -> None:
    refused = refusal_reason(Path(name))
    assert (refused[0] if refused else None) == reason


@given(st.text("abc.gzJPEG\0é ", max_size=20), st.integers(0, 3))
def test_any_name_has_a_kind(name: str, size: int) -> None:
    is_skipped(name, size)
    refusal_reason(Path(name))
    assert all(ending.startswith(".") for ending in endings(Path(name)))
