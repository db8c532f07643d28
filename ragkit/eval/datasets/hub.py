"""Data sets of the model hub by name, through the package `datasets`; fails within seconds without a network."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from ragkit.errors import LoadError, MissingExtraError
from ragkit.eval.datasets import hub_parts
from ragkit.eval.datasets.draft import Draft
from ragkit.eval.datasets.hub_parts import Rows
from ragkit.eval.datasets.hub_rows import Columns, add_rows

_TIMEOUT_SECONDS = 3.0
_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")


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
    qrels: str = "",
) -> None:
    """Fill `draft` from the hub data set `source`, for instance "rajpurkar/squad".

    Configurations that are parts of one data set are joined: corpus, queries and qrels of BEIR ("BeIR/scifact",
    "mteb/scifact"), corpus and queries of MultiHop-RAG. `config` reads one alone; `qrels` names the repository of the
    judgements where it is not "NAME-qrels". Rows in the shape of SQuAD, HotpotQA, QASPER and LongBench are recognised;
    for any other, `question`, `context`, `answers` and `identifier` name the columns, and the evidence is the whole
    context (level "document"). `split` is by default the first of test, validation, dev, train; `revision` pins a
    commit of `source`. Rows are data: no code of the hub is run.

    Raises MissingExtraError without the package, LoadError without a network or for an unknown shape.
    """
    library = _library()
    if not any(os.environ.get(name, "").lower() in {"1", "true", "yes", "on"} for name in _OFFLINE):
        _check_reachable(source)
    columns = Columns(question=question, answers=answers, context=context, identifier=identifier)

    def fetch(repository: str, part: str) -> Mapping[str, Rows]:
        pinned = revision if repository == source else ""
        with _failing(f"hub:{repository}"):
            found: Mapping[str, Rows] = library.load_dataset(repository, part or None, revision=pinned or None)
        return found

    if not config and not any(columns):
        with _failing(f"hub:{source}"):
            parts = list(library.get_dataset_config_names(source, revision=revision or None))
        if hub_parts.is_in_parts(parts):
            hub_parts.fill(draft, source, parts, fetch, split=split, qrels=qrels)
            return
    rows, _ = hub_parts.chosen_split(fetch(source, config), split, f"hub:{source}")
    add_rows(draft, rows, columns, f"hub:{source}")


@contextmanager
def _failing(place: str) -> Iterator[None]:
    """Turn whatever the package raises inside into a LoadError: it raises many unrelated types."""
    try:
        yield
    except Exception as error:
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LoadError(
            f"{place}: {first_line}", hint="Check the name, and config=NAME where the set has several parts."
        ) from error


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
