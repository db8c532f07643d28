"""The part of a prompt that is cached: what a probe of the question looks at, without computing the rest for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ragkit.cachecraft.core.choice import Chosen
from ragkit.cachecraft.core.prompt import Kind, Layout


@dataclass(frozen=True, slots=True, eq=False)
class Warm:
    """A prompt without the chunks that are not cached; those that are move together, in their order."""

    layout: Layout
    chosen: Mapping[int, Chosen]
    _whole: Layout
    _kept: tuple[int, ...]

    @classmethod
    def of(cls, layout: Layout, chosen: Mapping[int, Chosen], *, keep_cold: bool = False) -> Warm:
        """Return what is left of a prompt: itself with `keep_cold`, or where every chunk is cached."""
        kept = tuple(
            at for at, piece in enumerate(layout.pieces) if keep_cold or piece.kind is not Kind.CHUNK or at in chosen
        )
        left = layout if len(kept) == len(layout.pieces) else Layout(tuple(layout.pieces[at] for at in kept))
        moved = {
            place: replace(chosen[at], piece=place, start=left.spans[place].start)
            for place, at in enumerate(kept)
            if at in chosen
        }
        return cls(left, moved, layout, kept)

    def spread(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return scores of this prompt's positions as those of the whole prompt's, 0 where nothing is cached."""
        found = np.zeros(len(self._whole.ids))
        for place, at in enumerate(self._kept):
            found[slice(*self._whole.spans[at])] = scores[slice(*self.layout.spans[place])]
        return found
