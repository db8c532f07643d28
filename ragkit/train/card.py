"""The model card: what a trained model was made from and how good it was on questions that it had not seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Card:
    """Everything that decides a trained reranker, and its held-out figures."""

    encoder: str
    encoder_fingerprint: str
    teacher: str | None
    """The fingerprint of the cross-encoder whose verdicts were learnt beside the labels."""
    data: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]
    epochs: Sequence[Mapping[str, Any]]
    held_out: Mapping[str, Any]
    libraries: Mapping[str, str]

    def as_json(self) -> str:
        """Return the card as JSON."""
        return json.dumps({name: getattr(self, name) for name in self.__dataclass_fields__}, indent=1) + "\n"

    def as_markdown(self) -> str:
        """Return the card as a page, in the form that model hubs show."""
        libraries = ", ".join(f"{name} {version}" for name, version in self.libraries.items())
        taught = "" if self.teacher is None else f", taught by a cross-encoder (fingerprint `{self.teacher}`) as well"
        lines = [
            "---",
            "library_name: sentence-transformers",
            "pipeline_tag: text-ranking",
            "---",
            "",
            "# Reranker trained by ragkit",
            "",
            f"A cross-encoder with one logit, from `{self.encoder}` (fingerprint `{self.encoder_fingerprint}`), "
            f"trained with {libraries}{taught}. Its use:",
            "",
            "    reranker: {name: cross_encoder, model: FOLDER}",
            "    selector: {name: extractive, scorer: reranker, reranker: {name: cross_encoder, model: FOLDER}}",
            "",
            "## Data",
            "",
            *_table(self.data),
            "",
            "## Settings",
            "",
            *(f"- {name}: {value}" for name, value in self.settings.items()),
            "",
            "## Held-out questions",
            "",
            "Recall of evidence characters with sentences up to half of the length of the best five chunks, and the "
            "reciprocal rank of the first sentence with evidence; the same questions for all. The epoch was chosen on "
            "them, which flatters the trained one a little.",
            "",
            *_table([{"judge": name, **values} for name, values in self.held_out.items()]),
            "",
            "By epoch:",
            "",
            *_table(self.epochs),
            "",
        ]
        return "\n".join(lines)


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return ["none"]
    names = list(rows[0])
    body = ["| " + " | ".join(str(row.get(name, "")) for name in names) + " |" for row in rows]
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names), *body]
