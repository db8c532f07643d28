"""Next-token probabilities of given labels, out of the whole vocabulary's softmax."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ragkit.budget import Meter
from ragkit.models.arrival import Arrival, Arrived
from ragkit.models.causal.forward import Forward, memory_error
from ragkit.protocols import Progress

STAGE = "labels"

_POSITIONS = 128
"""Positions whose logits exist at once."""


class _Row(NamedTuple):
    """A prompt and all but the last token of a label; `label` None asks for all labels of one token."""

    prompt: int
    label: int | None
    ids: NDArray[np.int32]


def label_probabilities(
    name: str,
    forward: Forward,
    prompts: Sequence[Sequence[int]],
    labels: Sequence[Sequence[int]],
    batch_tokens: int,
    *,
    meter: Meter | None,
    progress: Progress | None,
    arrived: Arrived | None,
) -> NDArray[np.float64]:
    """Return the probability of each label (token ids, at least one) after each prompt, shape (prompts, labels)."""
    found = np.zeros((len(prompts), len(labels)))
    rows = _rows(prompts, labels)
    total = sum(len(row.ids) for row in rows)
    missing = Counter(row.prompt for row in rows)
    done, at = 0, 0
    while at < len(rows):
        batch = rows[at : at + max(1, batch_tokens // len(rows[at].ids))]
        tokens = sum(len(row.ids) for row in batch)
        if meter is not None:
            meter.spend(STAGE, prompt_tokens=tokens, calls=len(batch), dollars=0.0)
        try:
            _fill(found, forward, batch, prompts, labels)
        except torch.OutOfMemoryError as error:
            raise memory_error(name, tokens, error) from error
        at += len(batch)
        done += tokens
        missing.subtract(row.prompt for row in batch)
        if arrived is not None:
            for place in dict.fromkeys(row.prompt for row in batch):
                if not missing[place]:
                    arrived(Arrival(place, found[place].copy(), len(prompts[place])))
        if progress is not None:
            progress(STAGE, done, total)
    return found


def _rows(prompts: Sequence[Sequence[int]], labels: Sequence[Sequence[int]]) -> list[_Row]:
    """Return what the model has to read, longest first."""
    rows = []
    for prompt, ids in enumerate(prompts):
        if any(len(label) == 1 for label in labels):
            rows.append(_Row(prompt, None, np.array(ids, dtype=np.int32)))
        rows += [
            _Row(prompt, at, np.array([*ids, *label[:-1]], dtype=np.int32))
            for at, label in enumerate(labels)
            if len(label) > 1
        ]
    return sorted(rows, key=lambda row: -len(row.ids))


def _fill(
    found: NDArray[np.float64],
    forward: Forward,
    batch: Sequence[_Row],
    prompts: Sequence[Sequence[int]],
    labels: Sequence[Sequence[int]],
) -> None:
    """Write the probabilities of the labels of `batch` into `found`."""
    width = len(batch[0].ids)
    places = [
        np.arange(len(prompts[row.prompt]) - 1, len(row.ids), dtype=np.int64) + at * width
        for at, row in enumerate(batch)
    ]
    every = sorted({token for label in labels for token in label})
    with torch.inference_mode():
        hidden = forward.hidden([row.ids for row in batch], np.concatenate(places), width)
        wanted = torch.tensor(every, device=hidden.device)
        tiles = [forward.head.log_probabilities(part, wanted) for part in hidden.split(_POSITIONS)]
        table = torch.cat(tiles).double().cpu().numpy()
    column = {token: at for at, token in enumerate(every)}
    single = [at for at, label in enumerate(labels) if len(label) == 1]
    begin = 0
    for row, own in zip(batch, places, strict=True):
        chosen = [row.label] if row.label is not None else single
        for label in chosen:
            logs = [table[begin + step, column[token]] for step, token in enumerate(labels[label])]
            found[row.prompt, label] = np.exp(sum(logs))
        begin += len(own)
