"""What `tune` found, for people: the configuration as YAML, what to expect of it, the front, how the search went."""

from __future__ import annotations

import yaml

from ragkit.eval.experiment.table import verdict
from ragkit.eval.experiment.tuning import Tuned

_SHOWN = 5
"""Candidates named of each round."""


def as_yaml(tuned: Tuned) -> str:
    """Return the configuration file, with what is expected of it as a comment."""
    comments = "".join(f"# {line}\n" for line in expectation(tuned))
    return comments + yaml.safe_dump(tuned.content, sort_keys=False, allow_unicode=True)


def expectation(tuned: Tuned) -> list[str]:
    """Return quality with its interval, the comparison with the defaults, and the cost, one line each."""
    mean, low, high = tuned.quality
    on = (
        f"{tuned.held_out} questions that the search did not use"
        if tuned.held_out
        else (f"the {tuned.searched_on} questions that the search used: too good to be expected")
    )
    lines = [f"{tuned.system}: {tuned.measure} = {mean:.3f} (95 %: {low:.3f} to {high:.3f}) on {on}."]
    if tuned.default is None:
        lines.append("These are ragkit's own defaults.")
    else:
        item = tuned.default
        lines.append(
            f"Against the defaults ({item.baseline}): {item.difference:+.3f} (95 %: {item.low:+.3f} to "
            f"{item.high:+.3f}), p = {item.p_holm:.3g}: {verdict(item)}."
        )
    lines.append(
        f"Cost: {tuned.k} chunks and {tuned.mean_tokens:.0f} tokens a question, {tuned.milliseconds:.1f} ms of search; "
        f"{tuned.chunks} chunks, indexed in {tuned.index_seconds:.1f} s."
    )
    return lines + [f"Note: {note}." for note in tuned.notes]


def as_markdown(tuned: Tuned) -> str:
    """Return everything that was found, as Markdown."""
    lines = [*expectation(tuned), "", "```yaml", yaml.safe_dump(tuned.content, sort_keys=False).rstrip(), "```", ""]
    lines += ["Quality against retrieved tokens (nothing that was tried to the end is better in both):", ""]
    lines += ["| system | chunks | tokens | Recall |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {point.system} | {point.k} | {point.tokens:.0f} | {point.quality:.3f} |" for point in tuned.front]
    lines += ["", "The search:", ""]
    for found in tuned.rounds:
        best = ", ".join(f"{name} {mean:.3f}" for name, mean in list(found.means.items())[:_SHOWN])
        lines.append(f"- {found.questions} questions, {len(found.means)} candidates: {best}")
        for reason in dict.fromkeys(reason.split(" by ")[0] for reason in found.fell.values()):
            count = sum(other.split(" by ")[0] == reason for other in found.fell.values())
            lines.append(f"  - {count} fell: {reason}")
    return "\n".join(lines) + "\n"
