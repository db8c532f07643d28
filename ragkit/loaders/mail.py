"""E-mail messages (RFC 5322, MIME): subject, correspondents and the body; attachments are counted, not read."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

from ragkit.config import LoadingConfig
from ragkit.loaders.blocks import TextBuilder, paragraphs
from ragkit.loaders.files import check_length, read_bytes, refusal, source_of
from ragkit.loaders.metadata import scalars
from ragkit.loaders.visible import visible_text
from ragkit.schema import BlockKind, Document

_HEADERS = ("From", "To", "Cc", "Date")


class MailLoader:
    """Reads one message: its plain text, or its HTML where there is none; headers are in the text and the metadata."""

    suffixes = (".eml",)

    def __init__(self, caps: LoadingConfig) -> None:
        self._caps = caps

    def load(self, path: Path) -> Iterator[Document]:
        """Yield one document; raise LoadError for a file without headers or without text."""
        message = email.message_from_bytes(read_bytes(path, self._caps), policy=email.policy.default)
        if not isinstance(message, EmailMessage) or not message.keys() or "From" not in message:
            raise refusal(path, "it is not an e-mail message: it has no From header")
        subject = str(message.get("Subject", ""))
        headers = {name: str(message[name]) for name in _HEADERS if name in message}
        builder = TextBuilder()
        builder.add(BlockKind.HEADING, subject, level=1)
        builder.add(BlockKind.PARAGRAPH, "\n".join(f"{name}: {value}" for name, value in headers.items()))
        before = builder.length
        _add_body(message, builder)
        if builder.length == before:
            raise refusal(path, "the message has no text")
        text, blocks = builder.result()
        check_length(path, len(text), self._caps)
        metadata: dict[object, object] = {"title": subject}
        metadata.update((name.lower(), value) for name, value in headers.items())
        attachments = sum(1 for _ in message.iter_attachments())
        yield Document(
            text,
            source_of(path),
            metadata={**scalars(metadata), **({"attachments": attachments} if attachments else {})},
            blocks=blocks,
        )


def _add_body(message: EmailMessage, builder: TextBuilder) -> None:
    body = message.get_body(preferencelist=("plain", "html"))
    if body is None:
        return
    try:
        content = str(body.get_content())
    except (LookupError, ValueError):
        # An unknown or untrue charset: the bytes as UTF-8, odd ones replaced.
        content = body.get_payload(decode=True).decode("utf-8", "replace")  # type: ignore[union-attr]  # text parts
    if body.get_content_subtype() == "html":
        visible_text(content, builder)
        return
    for start, end in paragraphs(content):
        builder.add(BlockKind.PARAGRAPH, content[start:end])
