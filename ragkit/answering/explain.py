"""Why an answer is what it is: every chunk that was considered, why it was kept or cut, and what it all cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ragkit.schema import Answer


@dataclass(frozen=True, slots=True)
class Considered:
    """One chunk: what it scored, whether it was kept, and why.

    `score` is the retriever's, `judged` that of the selector on its own scale (None where it has none). `parts` are the
    spans of it that were shown, where it was narrowed.
    """

    chunk_id: str
    rank: int
    score: float
    judged: float | None
    kept: bool
    reason: str
    flags: tuple[str, ...]
    source: str
    page: int | None
    line: int | None
    start: int
    end: int
    parts: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Spent:
    """What one stage did: seconds of the clock, and what its language models took; dollars are of priced calls only."""

    stage: str
    seconds: float | None
    calls: int
    cached: int
    prompt_tokens: int
    reply_tokens: int
    dollars: float
    unpriced: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """The story of an answer; `selection` and `controller` say how those two decided, as their traces have it."""

    selector: str
    policy: str
    considered: tuple[Considered, ...]
    spent: tuple[Spent, ...]
    tokens: int
    dollars: float
    seconds: float
    selection: Mapping[str, Any]
    controller: Mapping[str, Any]


def explain(answer: Answer) -> Explanation:
    """Return the explanation of `answer`, from its trace; chunks that were kept come first, then by rank."""
    trace = answer.trace
    selection: Mapping[str, Any] = trace.get("selection", {})
    spent: Mapping[str, Any] = trace.get("spent", {})
    rows = _considered(trace, selection)
    return Explanation(
        selector=str(selection.get("selector") or trace.get("selector", "")),
        policy=_policy(selection),
        considered=tuple(sorted(rows, key=lambda row: (not row.kept, row.rank, row.chunk_id))),
        spent=tuple(_stages(trace.get("seconds", {}), spent.get("stages", {}))),
        tokens=int(spent.get("tokens", 0)),
        dollars=float(spent.get("dollars", 0.0)),
        seconds=float(spent.get("seconds", sum(trace.get("seconds", {}).values()))),
        selection=selection,
        controller=trace.get("controller", {}),
    )


def _considered(trace: Mapping[str, Any], selection: Mapping[str, Any]) -> list[Considered]:
    kept = set(trace.get("kept", ()))
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for part in trace.get("parts", ()):
        if part["chunk_id"] in kept:
            parts.setdefault(part["part_of"], []).append(part)
    dropped = {one["chunk_id"]: one for one in reversed(trace.get("dropped", ()))}
    judged = dict(selection.get("scores", ()))
    flags: Mapping[str, Sequence[str]] = selection.get("flags", {})
    rows: dict[str, Considered] = {}
    for hit in trace.get("hits", ()):
        name = hit["chunk_id"]
        shown = parts.get(name, [])
        is_kept = name in kept or bool(shown)
        cut = dropped.get(name, {})
        names = [name, *(part["chunk_id"] for part in shown)]
        rows.setdefault(
            name,
            Considered(
                chunk_id=name,
                rank=hit["rank"],
                score=float(hit["score"]),
                judged=judged.get(name),
                kept=is_kept,
                reason=_kept_reason(names, selection) if is_kept else cut.get("reason", "not considered further"),
                flags=tuple(dict.fromkeys([*cut.get("flags", ()), *flags.get(name, ())])),
                source=hit["source"],
                page=hit.get("page"),
                line=hit.get("line"),
                start=hit.get("start", 0),
                end=hit.get("end", 0),
                parts=tuple((part["start"], part["end"]) for part in shown),
            ),
        )
    return list(rows.values())


def _kept_reason(names: Sequence[str], selection: Mapping[str, Any]) -> str:
    """Return why a chunk was kept: in the selector's words, or by its cut."""
    reasons: Mapping[str, str] = selection.get("reasons", {})
    for name in names:
        if name in reasons:
            return str(reasons[name])
    cut = selection.get("cut")
    if isinstance(cut, Mapping) and "reason" in cut:
        return f"before the cut: {cut['reason']}"
    return "among the best that fit"


def _policy(selection: Mapping[str, Any]) -> str:
    """Return the cut rule with its options in one line; empty where there is none."""
    policy = selection.get("policy")
    if not isinstance(policy, Mapping):
        return ""
    options = ", ".join(f"{key}={value}" for key, value in policy.items() if key != "name" and value is not None)
    return f"{policy.get('name', '')}({options})"


def _stages(seconds: Mapping[str, float], stages: Mapping[str, Mapping[str, Any]]) -> list[Spent]:
    """Return a row for each stage of the clock and of the meter, in the order in which they began."""
    found = []
    for name in dict.fromkeys([*seconds, *stages]):
        spent: Mapping[str, Any] = stages.get(name, {})
        took = seconds.get(name, spent.get("seconds"))
        counts = {unit: int(spent.get(unit, 0)) for unit in ("calls", "cached", "prompt_tokens", "reply_tokens")}
        dollars, unpriced = float(spent.get("dollars", 0.0)), int(spent.get("unpriced", 0))
        found.append(Spent(name, None if took is None else float(took), **counts, dollars=dollars, unpriced=unpriced))
    return found
