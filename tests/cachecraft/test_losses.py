"""What a store could not give back is told once for each reason, and looked for only where something is amiss."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

from ragkit.cachecraft.losses import Losses


def test_each_reason_is_told_once_and_the_store_asked_only_in_trouble():
    asked, failures = [], {"disk: gone": 2, "memory: too large": 9, "disk: no space": 1}

    def stats() -> SimpleNamespace:
        asked.append(1)
        return SimpleNamespace(failures=dict(failures))

    losses = Losses(SimpleNamespace(stats=stats))  # type: ignore[arg-type]  # all that it asks of a store
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        losses.look(trouble=False)
        losses.look(trouble=False)
        assert len(asked) == 1
        losses.look(trouble=True)
        failures["remote: time-out"] = 1
        losses.look(trouble=True)
    first, second = [str(one.message) for one in told]
    assert "disk: gone, 2 times. " in first
    assert "remote: time-out, 1 times. " in second
    assert "gone" not in second
