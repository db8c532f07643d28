"""No controller: each step once, in order."""

from __future__ import annotations

from ragkit.protocols import Asking
from ragkit.schema import Answer


class Once:
    """Retrieves, selects and answers."""

    name = "none"

    def control(self, asking: Asking) -> Answer:
        """Return the answer."""
        hits = asking.retrieve()
        return asking.answer(asking.select(hits), hits)
