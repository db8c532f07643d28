"""Probabilities of labels right after a prompt, out of the whole vocabulary's softmax."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragkit.models.arrival import Arrival, Arrived
from ragkit.models.inprocess.bill import Bill
from ragkit.models.inprocess.calls import Answer, Call, answer_all, check_window
from ragkit.models.inprocess.engine import Engine
from ragkit.models.inprocess.vocabulary import Vocabulary
from ragkit.protocols import Progress, Prompt

_AT_ONCE = 128
"""Tokens whose probabilities one request may ask for (vLLM's MAX_LOGPROB_TOKEN_IDS)."""

Step = tuple[tuple[int, ...], tuple[int, ...]]
"""The tokens of a label so far, and those that may be next."""


def steps(labels: Sequence[tuple[int, ...]]) -> list[Step]:
    """Return what has to be asked after each prompt: the tokens that may follow each beginning of a label.

    >>> steps([(1,), (2, 3), (2, 4)])
    [((), (1, 2)), ((2,), (3, 4))]
    """
    wanted: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
    for ids in labels:
        for at, token in enumerate(ids):
            wanted[ids[:at]].add(token)
    return [
        (before, tuple(following[at : at + _AT_ONCE]))
        for before, tokens in sorted(wanted.items())
        for following in [sorted(tokens)]
        for at in range(0, len(following), _AT_ONCE)
    ]


def label_all(
    engine: Engine,
    vocabulary: Vocabulary,
    prompts: Sequence[Prompt],
    labels: Sequence[str],
    *,
    name: str,
    bill: Bill,
    arrived: Arrived | None,
    progress: Progress | None,
) -> NDArray[np.float64]:
    """Return the probability of each label after each prompt, shape (prompts, labels).

    One request for each prompt and each different beginning of a label of several tokens; vLLM's prefix cache holds
    the prompt meanwhile.
    """
    ids = [tuple(vocabulary.bare(label)) for label in labels]
    asked = steps(ids)
    calls = [
        Call([*prompt, *before], options={"temperature": 0.0, "logprob_token_ids": list(following)})
        for prompt in map(vocabulary.prompt, prompts)
        for before, following in asked
    ]
    check_window(name, calls, engine.settings.window)
    found = np.zeros((len(prompts), len(labels)))
    logs: list[dict[tuple[int, ...], float]] = [{} for _ in prompts]
    spent = np.zeros((len(prompts), 3))
    missing = [len(asked)] * len(prompts)

    def take(place: int, answer: Answer) -> None:
        prompt, step = divmod(place, len(asked))
        told = zip(answer.logprobs.token_ids, answer.logprobs.logprobs, strict=True)
        logs[prompt] |= {(*asked[step][0], token): value for token, value in told}
        spent[prompt] += len(calls[place].ids), len(answer.ids), answer.seconds
        missing[prompt] -= 1
        if missing[prompt]:
            return
        found[prompt] = [np.exp(sum(logs[prompt][label[: at + 1]] for at in range(len(label)))) for label in ids]
        if arrived is not None:
            read, written, seconds = spent[prompt].tolist()
            arrived(Arrival(prompt, found[prompt].copy(), int(read), int(written), seconds))
        if progress is not None:
            progress(bill.stage, missing.count(0), len(prompts))

    answer_all(engine, bill, calls, take)
    return found
