"""From boundaries to values per document, beside those of as many boundaries spaced equally and drawn at random."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragkit.eval.experiment.code import code_hash
from ragkit.eval.experiment.scoring import Values
from ragkit.eval.experiment.store import Store, key
from ragkit.eval.metrics import Measure, at_random, equally_spaced, evaluate_segments
from ragkit.identity import content_hash

RANDOM, SPACED = "random", "spaced"


@dataclass(frozen=True, slots=True)
class Scored:
    """Values by measure, one for each counted document: the chunker's, and those of its two baselines."""

    density: list[float]
    own: Values
    spaced: Values
    drawn: Values


class Scorer:
    """Scores boundaries against one gold segmentation; known values come from `store`, if there is one."""

    def __init__(
        self,
        gold: Mapping[str, Sequence[int]],
        sizes: Mapping[str, int],
        *,
        draws: int,
        seed: int,
        store: Store | None = None,
    ) -> None:
        """Score against `gold`, boundaries by document id, between so many units as `sizes` says.

        A random baseline is the mean of `draws` segmentations drawn by `seed`.
        """
        self._draws, self._seed, self._store = draws, seed, store
        self._documents = list(gold)
        self._boundaries = [list(gold[doc_id]) for doc_id in gold]
        self._sizes = [sizes[doc_id] for doc_id in gold]

    def scored(self, predicted: Mapping[str, Sequence[int]], measures: Sequence[Measure]) -> Scored:
        """Return the values of `predicted`, positions by document id; a document that is missing has none."""
        own = [list(predicted.get(doc_id, ())) for doc_id in self._documents]
        known = key(
            "segmentation scores",
            documents=[[doc_id, size] for doc_id, size in zip(self._documents, self._sizes, strict=True)],
            gold=self._boundaries,
            predicted=own,
            measures=list(map(str, measures)),
            numbers=[self._draws, self._seed],
            code=code_hash("eval/metrics", "eval/experiment"),
        )
        found = None if self._store is None else self._store.get([known]).get(known)
        if found is None:
            found = self._computed(own, measures)
            if self._store is not None:
                self._store.put(known, found)
        return Scored(*found)

    def _computed(
        self, own: list[list[int]], measures: Sequence[Measure]
    ) -> tuple[list[float], Values, Values, Values]:
        spaced = [equally_spaced(len(found), size) for found, size in zip(own, self._sizes, strict=True)]
        drawn = [found for part in zip(*map(self._drawn, range(len(own)), own), strict=True) for found in part]
        density = [len(found) / len(gold) for found, gold in zip(own, self._boundaries, strict=True)]
        random = self._values(drawn, measures)
        means = {name: np.reshape(values, (self._draws, -1)).mean(axis=0).tolist() for name, values in random.items()}
        return density, self._values(own, measures), self._values(spaced, measures), means

    def _drawn(self, place: int, own: Sequence[int]) -> Iterator[list[int]]:
        """Yield random boundaries of one document, as many as `own`."""
        for draw in range(self._draws):
            lot = content_hash("boundaries", seed=self._seed, document=self._documents[place], draw=draw)
            yield at_random(len(own), self._sizes[place], int(lot[:15], 16))

    def _values(self, predicted: Sequence[Sequence[int]], measures: Sequence[Measure]) -> Values:
        """Return the values of `predicted`, which may hold the documents several times over."""
        times = len(predicted) // len(self._sizes)
        scores = evaluate_segments(measures, self._boundaries * times, predicted, self._sizes * times)
        return {str(measure): scores[measure].tolist() for measure in measures}
