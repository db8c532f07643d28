"""Token scores of the policies that ask the model before they plan."""

from __future__ import annotations

from collections.abc import Mapping

from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.incoming import Source
from ragkit.cachecraft.hf.key_values import KeyValues
from ragkit.cachecraft.hf.scores import Scores
from ragkit.errors import UsageError


def token_scores(
    policy: str, backend: HfBackend, plan: Plan, blobs: Mapping[str, Source], over: KeyValues | None = None
) -> Scores:
    """Return the scores that `policy` ranks tokens by; `plan` reuses everything and repairs nothing.

    `hkvd`: how far the values of layer 1 are from computed ones (CacheBlend). `query_probe`: the question's attention
    over the stitched cache (ProphetKV), in the cache `over` if given. Raises UsageError for a policy that needs none.
    """
    if policy == "hkvd":
        from ragkit.cachecraft.hf.deviation import deviation_scores

        return deviation_scores(backend, plan, blobs)
    if policy == "query_probe":
        from ragkit.cachecraft.hf.probe import probe_scores

        return probe_scores(backend, plan, blobs, over=over)
    raise UsageError(f"The policy {policy!r} needs no scores.")
