"""Data sets of the model hub by name, through the package `datasets`; fails within seconds without a network."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ragkit.errors import LoadError, MissingExtraError
from ragkit.eval.datasets.draft import Draft
from ragkit.eval.datasets.hub_rows import Columns, add_rows

_TIMEOUT_SECONDS = 3.0
_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
_PREFERRED = ("test", "validation", "dev", "train")


def read(
    source: str,
    draft: Draft,
    *,
    config: str = "",
    split: str = "",
    revision: str = "",
    question: str = "",
    answers: str = "",
    context: str = "",
    identifier: str = "",
) -> None:
    """Fill `draft` from the hub data set `source`, for instance "rajpurkar/squad".

    Rows in the shape of SQuAD, HotpotQA and LongBench are recognised; for any other, `question`, `context`, `answers`
    and `identifier` name the columns, and the evidence is the whole context (level "document"). `split` is by default
    the first of test, validation, dev, train; `revision` pins a commit. Rows are data: no code of the hub is run.

    Raises MissingExtraError without the package, LoadError without a network or for an unknown shape.
    """
    library = _library()
    if not any(os.environ.get(name, "").lower() in {"1", "true", "yes", "on"} for name in _OFFLINE):
        _check_reachable(source)
    try:
        found = library.load_dataset(source, config or None, revision=revision or None)
    except Exception as error:  # the package raises many unrelated types
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LoadError(
            f"hub:{source}: {first_line}", hint="Check the name, and config=NAME where the set has several parts."
        ) from error
    columns = Columns(question=question, answers=answers, context=context, identifier=identifier)
    add_rows(draft, _rows(found, split, source), columns, f"hub:{source}")


def _rows(found: Mapping[str, Iterable[dict[str, Any]]], split: str, source: str) -> Iterable[dict[str, Any]]:
    chosen = split or next((name for name in _PREFERRED if name in found), next(iter(found), ""))
    if chosen not in found:
        raise LoadError(
            f"hub:{source} has no split {chosen!r}.", hint=f"Available: {', '.join(found) or 'none'}; give split=NAME."
        )
    return found[chosen]


def _library() -> Any:
    try:
        return importlib.import_module("datasets")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "Data sets of the hub need the package 'datasets', which is not installed.",
            hint="Install it with: pip install datasets. Local files need no such package.",
        ) from error


def _check_reachable(source: str) -> None:
    """Raise LoadError if the hub, or the proxy to it, takes no connection: the client itself retries for minutes."""
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    url = urlsplit(proxy or endpoint)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        socket.create_connection((url.hostname or "", port), timeout=_TIMEOUT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise LoadError(
            f"hub:{source}: {url.hostname} cannot be reached: {error}.",
            hint="Connect to a network, set HF_HUB_OFFLINE=1 to use what was fetched before, or give a local file.",
        ) from error
